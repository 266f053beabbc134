// Attention over the latent cache: 128 rows (heads of one or of several queries) meet each cache
// row once. The row is key and, its first `rank` channels, value.
//
// Data flow of a split: copy [q_latent | q_pe] of the rows; for each block of 128 cache rows:
// interleave its latent part for p·c, reading the rows once from end to end as the memory likes it;
// transpose it into panels for the scores; scores, softmax, o += p·c. At V3's sizes a block is
// 147 KB read for 128·128·1088·2 = 36 MFLOP: 242 FLOP a byte, so one query of 128 heads already
// multiplies more than it reads.
//
// One query of few heads does not pay for such copies. There the cache rows, as they lie, are the
// left operand of the scores, and values are interleaved 32 channels at a time, just before they
// are multiplied: the block is read from memory once and from L2 once more, and no copy of it
// leaves L1. (A whole block interleaved: 1.6 times as long.) Measured: bench/results.md.
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

/// `width` channels of keys' rows → the right operand of p·c.
template <class T>
void pack_values(const typename Numbers<T>::Packed* from, int64_t stride, int64_t count,
                 int64_t width, typename Numbers<T>::Packed* to, int64_t panel) {
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

/// Whether rows are so few that a step of the multiplier takes them all at once.
template <class T>
bool are_few(const QueryRows<T>& rows) {
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

/// A block of keys: rows that lie one after the other.
template <class T>
struct BlockRows {
    struct Run {
        const typename Numbers<T>::Packed* rows;
        int64_t stride;
        int64_t first, count;  // keys of the block
    };
    Run runs[kKeyBlock / kLatentPage + 1];  // of as many pages, and a copy
    int64_t run_count = 0;

    void add(const Run& run) {
        runs[run_count++] = run;
    }
};

/// Whether keys can be packed where they lie, in whole steps of whole pages.
template <class T>
bool pack_in_place(const LatentTask<T>& task, const QueryRows<T>& rows) {
    const PagedKeys<T>& keys = task.keys;
    const int64_t width = task.sizes.rank + task.sizes.rope;
    return sizeof(typename Numbers<T>::Packed) == sizeof(T) && keys.rows.data != nullptr &&
           keys.shift == 0 && width == rows.k_stride && rows.v_width <= width &&
           keys.rows.stride % Numbers<T>::kPair == 0;
}

/// Keys [begin, begin + count), with rows of zeros up to a whole step: where they lie, and the rest
/// copied.
template <class T>
BlockRows<T> block_rows(const LatentTask<T>& task, int64_t begin, int64_t count,
                        const LatentScratch<T>& scratch) {
    const PagedKeys<T>& keys = task.keys;
    const int64_t width = task.sizes.rank + task.sizes.rope, stride = scratch.copied_stride;
    BlockRows<T> block;
    int64_t first = 0;
    if constexpr (sizeof(typename Numbers<T>::Packed) == sizeof(T)) {
        const int64_t step = padded_keys<T>(1);
        const int64_t whole = pack_in_place(task, scratch.rows) ? count / step * step : 0;
        for (int64_t run; first < whole; first += run) {
            run = keys.adjacent(begin + first, whole - first);
            block.add({keys.rows.at(keys.row_of(begin + first)), keys.rows.stride, first, run});
        }
    }
    if (first == count) return block;
    const int64_t rest = count - first, padded = padded_keys<T>(rest);
    block.add({scratch.copied, stride, first, padded});
    auto* to = scratch.copied;
    for (int64_t run; first < count; first += run, to += run * stride) {
        run = keys.adjacent(begin + first, count - first);
        const int64_t row = keys.row_of(begin + first);
        if (keys.rows.data == nullptr) {
            decode_rows(keys, task.sizes, row, run, to, stride);
        } else {
            copy_rows(keys.rows.at(row), keys.rows.stride, run, width, to, stride);
        }
    }
    zero_padding(scratch.copied, stride, rest, width, padded);
    return block;
}

/// Many rows meet a block.
template <class T, class Seen>
void attend_block(const BlockRows<T>& block, int64_t keys, const Seen& seen,
                  LatentScratch<T>& scratch) {
    const QueryRows<T>& rows = scratch.rows;
    scratch.keys.depth = padded_keys<T>(keys);
    for (int64_t i = 0; i < block.run_count; ++i) {
        const auto& [from, stride, first, count] = block.runs[i];
        pack_values<T>(from, stride, count, rows.v_width, scratch.keys.v + first * kPanel,
                       scratch.keys.v_panel);
        pack_transposed<T>(from, stride, count, rows.k_depth,
                           scratch.keys.k + first * rows.k_depth);
    }
    for (int64_t first = 0; first < rows.count; first += kRowBlock) {
        const auto visible = [&](int64_t r) { return seen(first + r); };
        const int64_t left = rows.count - first < kRowBlock ? rows.count - first : kRowBlock;
        if (visible(left - 1) == 0) continue;
        attend(rows, first, scratch.keys, padded_keys<T>(visible(left - 1)), visible,
               scratch.softmax);
    }
}

/// Scores by key → by row, as the softmax takes them.
template <class T>
void turn_scores(int64_t keys, LatentScratch<T>& scratch) {
    using U = Unit<typename Numbers<T>::Sum>;
    transpose(reinterpret_cast<const U*>(scratch.scores_by_key), kPanel, keys, kPanel,
              reinterpret_cast<U*>(scratch.softmax.scores), kKeyBlock);
}

/// Few rows meet a block: scores by key. The first block's results overwrite what o held.
template <class T, class Seen>
void attend_block_few(const BlockRows<T>& block, int64_t keys, const Seen& seen, bool is_first,
                      LatentScratch<T>& scratch) {
    const QueryRows<T>& rows = scratch.rows;
    const int64_t depth = padded_keys<T>(keys), panel = scratch.keys.v_panel;
    for (int64_t i = 0; i < block.run_count; ++i) {
        const auto& [from, stride, first, count] = block.runs[i];
        multiply<T>(
            {from, stride, scratch.q_panel, 0, scratch.scores_by_key + first * kPanel, kPanel},
            count, kPanel, rows.k_depth, false);
    }
    turn_scores(depth, scratch);
    const int64_t padded = make_probabilities(rows, 0, depth, seen, scratch.softmax);
    constexpr int64_t width = kValueStep<T>;
    for (int64_t i = 0; i < rows.v_width; i += width) {
        for (int64_t j = 0; j < block.run_count; ++j) {
            const auto& [from, stride, first, count] = block.runs[j];
            pack_values<T>(from + i, stride, count, width, scratch.keys.v + first * kPanel, panel);
        }
        multiply<T>({scratch.softmax.probabilities, kKeyBlock, scratch.keys.v, panel, rows.o + i,
                     rows.v_width},
                    padded, width, depth, !is_first);
    }
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
    const bool few = are_few(rows);
    if (few) {
        reset_softmax(rows);
        pack_transposed<T>(rows.q, rows.k_stride, kPanel, rows.k_depth, scratch.q_panel);
    } else {
        reset(rows);
    }
    const int64_t split_begin = latent_split_begin(split);
    for (int64_t begin = split_begin; begin < end; begin += kKeyBlock) {
        const int64_t keys = end - begin < kKeyBlock ? end - begin : kKeyBlock;
        const auto visible = [&](int64_t r) {
            const int64_t open = seen[r] - begin;
            return open < 0 ? 0 : open < keys ? open : keys;
        };
        const BlockRows<T> block = block_rows(task, begin, keys, scratch);
        if (few) {
            attend_block_few(block, keys, visible, begin == split_begin, scratch);
        } else {
            attend_block(block, keys, visible, scratch);
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
