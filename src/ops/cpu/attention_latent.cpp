// Attention over the latent cache: 128 rows (heads of one or of several queries) meet each cache
// row once. The row is key and, its first `rank` channels, value.
//
// Data flow of a split: copy [q_latent | q_pe] of the rows; for each block of 128 cache rows:
// interleave its latent part for p·c, reading the rows once from end to end as the memory likes it;
// transpose it into panels for the scores; scores, softmax, o += p·c. Few rows do not pay for the
// transposition: there the cache rows, as they lie, are the left operand of the scores. At V3's
// sizes a block is 147 KB read for 128·128·1088·2 = 36 MFLOP: 242 FLOP a byte, so one query of 128
// heads already multiplies more than it reads. Measured: bench/results.md.
#include "ops/cpu/attention_latent.h"

#include "ops/cpu/attention_softmax.h"
#include "ops/cpu/float8_simd.h"

namespace hadal::ops::cpu {

namespace {

static_assert(kShortLatentSplit % kKeyBlock == 0 && kLongLatentSplit % kKeyBlock == 0,
              "a split is a whole number of key blocks");

// Values are interleaved by pairs of keys within 128-bit lanes, 32 channels at a time. The two
// panels that this gives hold channels 0–3, 8–11, … and 4–7, 12–15, …; store_row puts them back.
template <class T>
constexpr int64_t kValueStep = Numbers<T>::kPair == 2 ? 2 * kPanel : kPanel;

template <class T>
constexpr int64_t value_width(const LatentSizes& sizes) {
    return round_up(sizes.rank, kValueStep<T>);
}

/// Results of some rows: of one split, or of all that have been merged.
template <class S>
struct Gathered {
    S *m, *l;  // [rows]
    S* o;      // [rows, v_width]
};

template <class T>
struct LatentScratch {
    using N = Numbers<T>;
    using Sum = typename N::Sum;
    QueryRows<T> rows;
    KeyBlock<T> keys;
    SoftmaxScratch<T> softmax;
    typename N::Packed* copied;  // [kKeyBlock, copied_stride]
    int64_t copied_stride;
    typename N::Packed* q_panel;  // queries of few rows, as the right operand
    Sum* scores_by_key;           // [kKeyBlock, kPanel]
    Gathered<Sum> merged;
    int64_t bytes;

    LatentScratch(const LatentSizes& sizes, void* memory) {
        Carver carver(memory);
        rows = QueryRows<T>::carve(carver, kLatentRows, sizes.rank + sizes.rope,
                                   value_width<T>(sizes), sizes.scale);
        keys.k = carver.take<typename N::Packed>(kKeyBlock * rows.k_stride);
        // A panel of 128 keys is 4 KiB: a line more, so that panels do not share cache sets.
        keys.v_panel = kPanel * (kKeyBlock + N::kPair);
        keys.v = carver.take<typename N::Packed>(rows.v_width / kPanel * keys.v_panel);
        softmax = SoftmaxScratch<T>::carve(carver);
        copied_stride = rows.k_stride < rows.v_width ? rows.v_width : rows.k_stride;
        copied = carver.take<typename N::Packed>(kKeyBlock * copied_stride);
        q_panel = carver.take<typename N::Packed>(kPanel * rows.k_depth);
        scores_by_key = carver.take<Sum>(kKeyBlock * kPanel);
        merged.m = carver.take<Sum>(kLatentRows);
        merged.l = carver.take<Sum>(kLatentRows);
        merged.o = carver.take<Sum>(kLatentRows * rows.v_width);
        bytes = carver.used();
    }
};

template <class T>
void load_queries(const LatentTask<T>& task, const LatentPiece& piece, QueryRows<T>& rows) {
    const auto& [heads, rank, rope, scale] = task.sizes;
    rows.count = piece.row_count;
    for (int64_t r = 0; r < rows.count; ++r) {
        const int64_t query = (piece.first_row + r) / heads, head = (piece.first_row + r) % heads;
        auto* q = rows.q + r * rows.k_stride;
        convert_values(task.q_latent.at(query, head * rank), rank, q);
        convert_values(task.q_pe.at(query, head * rope), rope, q + rank);
    }
    zero_padding(rows.q, rows.k_stride, rows.count, rank + rope, round_up(rows.count, kPanel));
}

/// Rows of keys → the right operand of p·c, beginning with key `first` of the block.
template <class T>
void pack_values(const typename Numbers<T>::Packed* from, int64_t stride, int64_t count,
                 int64_t first, LatentScratch<T>& scratch) {
    const int64_t width = scratch.rows.v_width, panel = scratch.keys.v_panel;
    auto* to = scratch.keys.v + first * kPanel;
#if defined(__AVX512BF16__)
    if constexpr (Numbers<T>::kPair == 2) {
        for (int64_t key = 0; key < count; key += 2, from += 2 * stride, to += 2 * kPanel) {
            for (int64_t i = 0; i < width; i += kValueStep<T>) {
                const __m512i even = _mm512_loadu_si512(from + i);
                const __m512i odd = _mm512_loadu_si512(from + stride + i);
                auto* pair = to + i / kPanel * panel;
                _mm512_storeu_si512(pair, _mm512_unpacklo_epi16(even, odd));
                _mm512_storeu_si512(pair + panel, _mm512_unpackhi_epi16(even, odd));
            }
        }
        return;
    }
#endif
    pack_rows<T>(from, stride, count, width, to, panel / kPanel);
}

/// Whether the scores of so few rows are made by key: cheaper where a step of the multiplier takes
/// a panel of rows anyhow.
template <class T>
bool scores_by_key(const QueryRows<T>& rows) {
    return Numbers<T>::kPair == 2 && rows.count <= kPanel &&
           (Numbers<T>::kRows == kPanel || rows.count > kPanel / 2);
}

/// Keys' rows from codes. Scales are powers of two, so that a bf16 holds every value.
template <class T>
void decode_rows(const PagedKeys<T>& keys, const LatentSizes& sizes, int64_t row, int64_t count,
                 typename Numbers<T>::Packed* to, int64_t to_stride) {
    if constexpr (sizeof(T) == 2) {
        using V = Lanes<float>;
        for (int64_t end = row + count; row < end; ++row, to += to_stride) {
            const uint8_t* codes = keys.codes.at(row);
            float scale;
            __builtin_memcpy(&scale, codes + sizes.rank, sizeof(scale));
            for_each_vector<V>(sizes.rank, [&](int64_t i, auto part) {
                const V value = load_codes<Code::e4m3, V>(codes + i, part) * V::all(scale);
                store(to + i, value, part);
            });
            const auto* k_pe =
                reinterpret_cast<const bf16*>(codes + sizes.rank + int64_t(sizeof(scale)));
            convert_values(k_pe, sizes.rope, to + sizes.rank);
        }
    }
}

/// Keys [begin, begin + count), and their scores where they are made by key.
template <class T>
void load_keys(const LatentTask<T>& task, int64_t begin, int64_t count, LatentScratch<T>& scratch) {
    using N = Numbers<T>;
    const QueryRows<T>& rows = scratch.rows;
    const PagedKeys<T>& keys = task.keys;
    const int64_t width = task.sizes.rank + task.sizes.rope, depth = padded_keys<T>(count);
    scratch.keys.depth = depth;
    const bool by_key = scores_by_key(rows);
    const auto pack = [&](const typename N::Packed* from, int64_t stride, int64_t first,
                          int64_t packed) {
        pack_values(from, stride, packed, first, scratch);
        if (by_key) {
            multiply<T>(
                {from, stride, scratch.q_panel, 0, scratch.scores_by_key + first * kPanel, kPanel},
                packed, kPanel, rows.k_depth, false);
        } else {
            pack_transposed<T>(from, stride, packed, rows.k_depth,
                               scratch.keys.k + first * rows.k_depth);
        }
    };
    if constexpr (sizeof(typename N::Packed) == sizeof(T)) {
        // Whole steps of whole pages are packed where they lie.
        if (count == depth && width == rows.k_stride && rows.v_width <= width && keys.shift == 0 &&
            keys.rows.data != nullptr && keys.rows.stride % N::kPair == 0) {
            for (int64_t first = 0, run; first < count; first += run) {
                run = keys.adjacent(begin + first, count - first);
                pack(keys.rows.at(keys.row_of(begin + first)), keys.rows.stride, first, run);
            }
            return;
        }
    }
    for (int64_t first = 0, run; first < count; first += run) {
        run = keys.adjacent(begin + first, count - first);
        const int64_t row = keys.row_of(begin + first);
        auto* to = scratch.copied + first * scratch.copied_stride;
        if (keys.rows.data == nullptr) {
            decode_rows(keys, task.sizes, row, run, to, scratch.copied_stride);
        } else {
            copy_rows(keys.rows.at(row), keys.rows.stride, run, width, to, scratch.copied_stride);
        }
    }
    zero_padding(scratch.copied, scratch.copied_stride, count, width, depth);
    pack(scratch.copied, scratch.copied_stride, 0, depth);
}

/// Scores by key → by row, as the softmax takes them.
template <class T>
void turn_scores(LatentScratch<T>& scratch) {
    using U = Unit<typename Numbers<T>::Sum>;
    transpose(reinterpret_cast<const U*>(scratch.scores_by_key), kPanel, scratch.keys.depth, kPanel,
              reinterpret_cast<U*>(scratch.softmax.scores), kKeyBlock);
}

/// Keys of one split; fills scratch.rows.
template <class T>
void attend_split(const LatentTask<T>& task, const LatentPiece& piece, int64_t split,
                  LatentScratch<T>& scratch) {
    QueryRows<T>& rows = scratch.rows;
    int64_t seen[kLatentRows];
    for (int64_t r = 0; r < rows.count; ++r) seen[r] = task.seen(piece.first_row + r);
    const int64_t split_end = latent_split_begin(split + 1), most = seen[rows.count - 1];
    const int64_t end = most < split_end ? most : split_end;
    reset(rows);
    const bool by_key = scores_by_key(rows);
    if (by_key) {
        pack_transposed<T>(rows.q, rows.k_stride, kPanel, rows.k_depth, scratch.q_panel);
    }
    for (int64_t block = latent_split_begin(split); block < end; block += kKeyBlock) {
        const int64_t keys = end - block < kKeyBlock ? end - block : kKeyBlock;
        load_keys(task, block, keys, scratch);
        if (by_key) turn_scores(scratch);
        for (int64_t first = 0; first < rows.count; first += kRowBlock) {
            const auto visible = [&](int64_t r) {
                const int64_t open = seen[first + r] - block;
                return open < 0 ? 0 : open < keys ? open : keys;
            };
            const int64_t left = rows.count - first < kRowBlock ? rows.count - first : kRowBlock;
            if (visible(left - 1) == 0) continue;
            const int64_t depth = padded_keys<T>(visible(left - 1));
            if (by_key) {
                take_values(rows, first, scratch.keys, depth, visible, scratch.softmax);
            } else {
                attend(rows, first, scratch.keys, depth, visible, scratch.softmax);
            }
        }
    }
}

/// Row r of `into` takes in row r of `part`. A part that saw no key leaves it as it is.
template <class S>
void merge_row(const Gathered<S>& into, const Gathered<const S>& part, int64_t r, int64_t part_row,
               int64_t width) {
    using V = Lanes<S>;
    const S m = part.m[part_row], l = part.l[part_row];
    if (l == 0) return;
    const S largest = into.m[r] < m ? m : into.m[r];
    S factors[2 * V::kLanes] = {into.m[r] - largest};
    factors[V::kLanes] = m - largest;
    store(factors, power_of_two<false>(V::load(factors, Whole{})), Whole{});
    store(factors + V::kLanes, power_of_two<false>(V::load(factors + V::kLanes, Whole{})), Whole{});
    const V keep = V::all(factors[0]), take = V::all(factors[V::kLanes]);
    into.m[r] = largest;
    into.l[r] = into.l[r] * factors[0] + l * factors[V::kLanes];
    S* o = into.o + r * width;
    const S* from = part.o + part_row * width;
    for (int64_t i = 0; i < width; i += V::kLanes) {
        store(o + i, fma(V::load(o + i, Whole{}), keep, V::load(from + i, Whole{}) * take),
              Whole{});
    }
}

template <class S>
void reset_row(const Gathered<S>& merged, int64_t r, int64_t width) {
    merged.m[r] = kNothingSeen<S>;
    merged.l[r] = 0;
    fill_zero(merged.o + r * width, width);
}

template <class T, class S>
void store_row(const LatentTask<T>& task, int64_t row, const S* o, S l) {
    const auto& [heads, rank, rope, scale] = task.sizes;
    T* u = task.u.at(row / heads, row % heads * rank);
#if defined(__AVX512BF16__)
    if constexpr (Numbers<T>::kPair == 2) {
        for (int64_t i = 0; i < rank; i += kValueStep<T>) {
            const __m512 a = _mm512_loadu_ps(o + i), b = _mm512_loadu_ps(o + i + kPanel);
            const __m512 low = _mm512_shuffle_f32x4(a, b, 0x44);   // lanes a0 a1 b0 b1
            const __m512 high = _mm512_shuffle_f32x4(a, b, 0xEE);  // a2 a3 b2 b3
            S ordered[kValueStep<T>];
            _mm512_storeu_ps(ordered, _mm512_shuffle_f32x4(low, low, 0xD8));
            _mm512_storeu_ps(ordered + kPanel, _mm512_shuffle_f32x4(high, high, 0xD8));
            const int64_t left = rank - i;
            store_scaled(ordered, S(1) / l, left < kValueStep<T> ? left : kValueStep<T>, u + i);
        }
        return;
    }
#endif
    store_scaled(o, S(1) / l, rank, u);
}

}  // namespace

template <Isa isa, class T>
int64_t attention_latent_partial(const LatentSizes& sizes) {
    return kLatentRows * (2 + value_width<T>(sizes));
}

template <Isa isa, class T>
int64_t attention_latent_scratch(const LatentSizes& sizes) {
    return LatentScratch<T>(sizes, nullptr).bytes;
}

template <Isa isa, class T>
void attention_latent_whole(const LatentTask<T>& task, const LatentPiece& piece, void* memory) {
    using S = typename Numbers<T>::Sum;
    const TileScope tiles;
    LatentScratch<T> scratch(task.sizes, memory);
    const QueryRows<T>& rows = scratch.rows;
    load_queries(task, piece, scratch.rows);
    const bool single =
        piece.split_end == 1;  // merging one part with nothing gives that part's bits
    for (int64_t r = 0; !single && r < piece.row_count; ++r)
        reset_row(scratch.merged, r, rows.v_width);
    for (int64_t split = 0; split < piece.split_end; ++split) {
        attend_split(task, piece, split, scratch);
        const Gathered<const S> part = {rows.m, rows.l, rows.o};
        for (int64_t r = 0; !single && r < piece.row_count; ++r) {
            merge_row(scratch.merged, part, r, r, rows.v_width);
        }
    }
    const S* o = single ? rows.o : scratch.merged.o;
    const S* l = single ? rows.l : scratch.merged.l;
    for (int64_t r = 0; r < piece.row_count; ++r) {
        store_row(task, piece.first_row + r, o + r * rows.v_width, l[r]);
    }
}

template <Isa isa, class T, class S>
void attention_latent_split(const LatentTask<T>& task, const LatentPiece& piece, void* memory,
                            S* partial) {
    const TileScope tiles;
    LatentScratch<T> scratch(task.sizes, memory);
    load_queries(task, piece, scratch.rows);
    scratch.rows.m = partial;
    scratch.rows.l = partial + kLatentRows;
    scratch.rows.o = partial + 2 * kLatentRows;
    attend_split(task, piece, piece.split, scratch);
}

template <Isa isa, class T, class S>
void attention_latent_merge(const LatentTask<T>& task, const LatentPiece& piece, int64_t r,
                            const S* partials, void* memory) {
    LatentScratch<T> scratch(task.sizes, memory);
    const int64_t width = scratch.rows.v_width;
    reset_row(scratch.merged, 0, width);
    for (int64_t split = 0; split < piece.split_end; ++split) {
        const S* at = partials + split * attention_latent_partial<isa, T>(task.sizes);
        merge_row(scratch.merged, {at, at + kLatentRows, at + 2 * kLatentRows}, 0, r, width);
    }
    store_row(task, piece.first_row + r, scratch.merged.o, *scratch.merged.l);
}

#define HADAL_INSTANTIATE(T, S)                                                                \
    template int64_t attention_latent_partial<kIsa, T>(const LatentSizes&);                    \
    template int64_t attention_latent_scratch<kIsa, T>(const LatentSizes&);                    \
    template void attention_latent_whole<kIsa, T>(const LatentTask<T>&, const LatentPiece&,    \
                                                  void*);                                      \
    template void attention_latent_split<kIsa, T, S>(const LatentTask<T>&, const LatentPiece&, \
                                                     void*, S*);                               \
    template void attention_latent_merge<kIsa, T, S>(const LatentTask<T>&, const LatentPiece&, \
                                                     int64_t, const S*, void*)
HADAL_INSTANTIATE(bf16, float);
HADAL_INSTANTIATE(float, float);
HADAL_INSTANTIATE(double, double);
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
