// Causal attention over expanded keys and values, backward: the probabilities are computed again
// from lse.
//
//     p = e^(s − lse),  d_v = pᵀ·d_o,  d_p = d_o·vᵀ,  D = rowsum(d_o ∘ o),  d_s = p ∘ (d_p −
//     D)·scale, d_q = d_s·k,  d_k = d_sᵀ·q       (Dao et al. 2022, appendix B)
//
// One item is one head of one sequence: key blocks outside, query blocks inside, so that every
// gradient is summed by one thread in one order and each score and exponential is computed once
// (five products; two passes that own rows of d_q and of d_kv would take seven). The price is a
// float32 d_q of the whole sequence in scratch. d_kᵀ and d_vᵀ are gathered transposed: then p and
// d_s are right operands, written in panels as they are computed, and only q and d_o are ever
// transposed, once per sequence.
#include "ops/cpu/attention_prefill.h"
#include "ops/cpu/attention_softmax.h"

namespace hadal::ops::cpu {

namespace {

/// A block of rows [kRowBlock or kKeyBlock, width] in the layouts that the five products want.
template <class T>
struct Widths {
    int64_t dim;     // true width
    int64_t depth;   // as the inner dimension
    int64_t width;   // as columns of a result: whole panels
    int64_t stride;  // of a row buffer: both

    explicit Widths(int64_t d)
        : dim(d),
          depth(round_up(d, Numbers<T>::kDepth)),
          width(round_up(d, kPanel)),
          stride(padded_width<T>(d)) {}
};

template <class T>
struct BackwardScratch {
    using Packed = typename Numbers<T>::Packed;
    using Sum = typename Numbers<T>::Sum;
    Widths<T> k, v;
    Sum scale;  // of scores, times log2 e
    // Of the whole sequence, rows up to a multiple of kRowBlock:
    Packed *q, *d_o;                // [rows, stride]
    Packed *q_across, *d_o_across;  // per row block [width, kRowBlock]: transposed
    Sum *minus_lse, *d_sum;         // [rows] −lse·log2 e; D
    Sum* d_q;                       // [rows, k.width]
    // Of a key block:
    Packed *k_panels, *v_panels;  // right operands of q·kᵀ, d_o·vᵀ
    Packed* k_rows;               // right operand of d_s·k, panels of depth k_rows_depth
    int64_t k_rows_depth = 0;
    Sum *d_k, *d_v;  // [width, kKeyBlock] d_kᵀ, d_vᵀ
    // Of a row block and a key block:
    Sum *scores, *d_p;              // [kRowBlock, kKeyBlock]
    Packed* d_s;                    // [kRowBlock, kKeyBlock] left operand
    Packed *p_panels, *d_s_panels;  // right operands, panels of depth kRowBlock
    Packed* copied;                 // [kKeyBlock, stride]
    Sum* turned;                    // [kKeyBlock, width] d_k or d_v the right way round
    int64_t bytes;

    BackwardScratch(const PrefillSizes& sizes, int64_t longest, void* memory)
        : k(sizes.nope + sizes.rope), v(sizes.v), scale(Sum(sizes.scale * kLog2E)) {
        Carver carver(memory);
        const int64_t rows = round_up(longest, kRowBlock);
        const int64_t widest = k.stride > v.stride ? k.stride : v.stride;
        q = carver.take<Packed>(rows * k.stride);
        d_o = carver.take<Packed>(rows * v.stride);
        q_across = carver.take<Packed>(rows * k.width);
        d_o_across = carver.take<Packed>(rows * v.width);
        minus_lse = carver.take<Sum>(rows);
        d_sum = carver.take<Sum>(rows);
        d_q = carver.take<Sum>(rows * k.width);
        k_panels = carver.take<Packed>(kKeyBlock * k.depth);
        v_panels = carver.take<Packed>(kKeyBlock * v.depth);
        k_rows = carver.take<Packed>(kKeyBlock * k.width);
        d_k = carver.take<Sum>(kKeyBlock * k.width);
        d_v = carver.take<Sum>(kKeyBlock * v.width);
        scores = carver.take<Sum>(kRowBlock * kKeyBlock);
        d_p = carver.take<Sum>(kRowBlock * kKeyBlock);
        d_s = carver.take<Packed>(kRowBlock * kKeyBlock);
        p_panels = carver.take<Packed>(kRowBlock * kKeyBlock);
        d_s_panels = carver.take<Packed>(kRowBlock * kKeyBlock);
        copied = carver.take<Packed>(kKeyBlock * widest);
        turned = carver.take<Sum>(kKeyBlock * widest);
        bytes = carver.used();
    }
};

/// One head of one sequence.
struct Head {
    int64_t head, start, length;
};

template <class T, class S>
S dot(const T* a, const T* b, int64_t count) {
    using V = Lanes<S>;
    V sum = V::all(0);
    for_each_vector<V>(count, [&](int64_t i, auto part) {
        sum = fma(V::load(a + i, part), V::load(b + i, part), sum);
    });
    return sum_lanes(sum);
}

/// Rows of q or d_o as left operands, and transposed block by block.
template <class T>
void load_rows(Rows<const T> from, const Head& item, int64_t column, const Widths<T>& widths,
               typename Numbers<T>::Packed* rows, typename Numbers<T>::Packed* across,
               typename Numbers<T>::Packed* panels) {
    const int64_t padded = round_up(item.length, kRowBlock);
    copy_rows(from.at(item.start, column), from.stride, item.length, widths.dim, rows,
              widths.stride);
    zero_padding(rows, widths.stride, item.length, widths.dim, padded);
    for (int64_t first = 0; first < padded; first += kRowBlock) {
        pack_rows<T>(rows + first * widths.stride, widths.stride, kRowBlock, widths.width, panels);
        unpack_transposed<T>(panels, kRowBlock, widths.width, across + first * widths.width,
                             kRowBlock);
    }
}

template <class T, class S>
void load_sequence(const PrefillBackward<T, S>& backward, const Head& item,
                   BackwardScratch<T>& scratch) {
    const PrefillForward<T, S>& forward = backward.forward;
    const PrefillSizes& sizes = forward.sizes;
    load_rows<T>(forward.q, item, item.head * scratch.k.dim, scratch.k, scratch.q, scratch.q_across,
                 scratch.copied);
    load_rows<T>(backward.d_o, item, item.head * sizes.v, scratch.v, scratch.d_o,
                 scratch.d_o_across, scratch.copied);
    for (int64_t t = 0; t < item.length; ++t) {
        const int64_t token = item.start + t, column = item.head * sizes.v;
        scratch.minus_lse[t] = -*forward.lse.at(token, item.head) * S(kLog2E);
        scratch.d_sum[t] =
            dot<T, S>(backward.d_o.at(token, column), forward.o.at(token, column), sizes.v);
    }
    fill_zero(scratch.d_q, round_up(item.length, kRowBlock) * scratch.k.width);
}

/// Keys and values of tokens [begin, begin + count) in the layouts of this pass.
template <class T, class S>
void load_keys(const PrefillForward<T, S>& forward, int64_t head, int64_t begin, int64_t count,
               BackwardScratch<T>& scratch) {
    const int64_t depth = padded_keys<T>(count);
    const int64_t nope = forward.sizes.nope, rope = forward.sizes.rope, v_dim = forward.sizes.v;
    const int64_t column = head * (nope + v_dim), stride = scratch.k.stride;
    auto* copied = scratch.copied;
    scratch.k_rows_depth = depth;
    copy_rows(forward.kv.at(begin, column), forward.kv.stride, count, nope, copied, stride);
    copy_rows(forward.k_pe.at(begin), forward.k_pe.stride, count, rope, copied + nope, stride);
    zero_padding(copied, stride, count, nope + rope, depth);
    pack_transposed<T>(copied, stride, depth, scratch.k.depth, scratch.k_panels);
    pack_rows<T>(copied, stride, depth, scratch.k.width, scratch.k_rows);
    copy_rows(forward.kv.at(begin, column + nope), forward.kv.stride, count, v_dim, copied,
              scratch.v.stride);
    zero_padding(copied, scratch.v.stride, count, v_dim, depth);
    pack_transposed<T>(copied, scratch.v.stride, depth, scratch.v.depth, scratch.v_panels);
    fill_zero(scratch.d_k, scratch.k.width * kKeyBlock);
    fill_zero(scratch.d_v, scratch.v.width * kKeyBlock);
}

/// p and d_s/scale of some lanes of row r: zero where masked.
template <class T>
struct Gradients {
    Lanes<typename Numbers<T>::Sum> p, d_s;
};

template <class V>
inline V visible_lanes(Whole, V v) {
    return v;
}
template <class V>
inline V visible_lanes(Part part, V v) {
    return part.count == 0 ? V::all(0) : part.count == V::kLanes ? v : select(part, v, V::all(0));
}

template <class T, class Part>
inline Gradients<T> differentiate(const BackwardScratch<T>& scratch, int64_t row, int64_t r,
                                  int64_t i, Part part) {
    using V = Lanes<typename Numbers<T>::Sum>;
    const V score = V::load(scratch.scores + r * kKeyBlock + i, Whole{});
    const V d_p = V::load(scratch.d_p + r * kKeyBlock + i, Whole{});
    const V p = power_of_two < sizeof(T) ==
                2 > (fma(score, V::all(scratch.scale), V::all(scratch.minus_lse[row])));
    const V d_s = p * (d_p - V::all(scratch.d_sum[row]));
    return {visible_lanes(part, p), visible_lanes(part, d_s)};
}

#if defined(__AVX512BF16__)
inline __m256i to_pairs(Lanes<float> v) {
    return __m256i(_mm512_cvtneps_pbh(v.v));
}
#endif

/// Rows r and r + 1 (r alone where nothing is paired) of p and d_s in all layouts; row r sees
/// `visible` keys.
template <class T>
inline void differentiate_rows(const BackwardScratch<T>& scratch, int64_t first, int64_t r,
                               int64_t visible, int64_t next_visible, int64_t depth) {
    using V = Lanes<typename Numbers<T>::Sum>;
    const auto step = [&](int64_t i, auto part, auto next_part) {
        const int64_t at = (i / kPanel) * kRowBlock * kPanel + r * kPanel + i % kPanel;
        const Gradients<T> one = differentiate(scratch, first + r, r, i, part);
        if constexpr (Numbers<T>::kPair == 2) {
#if defined(__AVX512BF16__)
            const Gradients<T> two = differentiate(scratch, first + r + 1, r + 1, i, next_part);
            const __m256i d_s = to_pairs(one.d_s), next = to_pairs(two.d_s);
            store_pairs(to_pairs(one.p), to_pairs(two.p), scratch.p_panels + at);
            store_pairs(d_s, next, scratch.d_s_panels + at);
            auto* rows = reinterpret_cast<__m256i*>(scratch.d_s + r * kKeyBlock + i);
            _mm256_storeu_si256(rows, d_s);
            _mm256_storeu_si256(rows + kKeyBlock / 16, next);
#endif
        } else {
            (void)next_part;
            store_operand<T>(scratch.p_panels + at, one.p);
            store_operand<T>(scratch.d_s_panels + at, one.d_s);
            store_operand<T>(scratch.d_s + r * kKeyBlock + i, one.d_s);
        }
    };
    const auto part_of = [](int64_t keys) {
        return Part{keys < 0 ? 0 : keys < V::kLanes ? keys : V::kLanes};
    };
    const int64_t whole = (visible < next_visible ? visible : next_visible) / V::kLanes * V::kLanes;
    for (int64_t i = 0; i < whole; i += V::kLanes) step(i, Whole{}, Whole{});
    for (int64_t i = whole; i < depth; i += V::kLanes) {
        step(i, part_of(visible - i), part_of(next_visible - i));
    }
}

/// Adds what the row block at `first` and the keys of the block contribute to each other. `before`:
/// keys of the block that precede row `first`.
template <class T>
void meet(const BackwardScratch<T>& s, int64_t first, int64_t rows, int64_t before, int64_t keys) {
    using N = Numbers<T>;
    const auto visible = [&](int64_t r) {
        const int64_t seen = before + r + 1;
        return r >= rows ? 0 : seen < keys ? seen : keys;
    };
    const int64_t depth = padded_keys<T>(visible(rows - 1));
    const int64_t padded = round_up(rows, N::kDepth > N::kRows ? N::kDepth : N::kRows);
    multiply<T>(
        {s.q + first * s.k.stride, s.k.stride, s.k_panels, kPanel * s.k.depth, s.scores, kKeyBlock},
        padded, depth, s.k.depth, false);
    multiply<T>(
        {s.d_o + first * s.v.stride, s.v.stride, s.v_panels, kPanel * s.v.depth, s.d_p, kKeyBlock},
        padded, depth, s.v.depth, false);
    for (int64_t r = 0; r < padded; r += N::kPair) {
        differentiate_rows(s, first, r, visible(r), visible(r + 1), depth);
    }
    multiply<T>(
        {s.d_s, kKeyBlock, s.k_rows, kPanel * s.k_rows_depth, s.d_q + first * s.k.width, s.k.width},
        padded, s.k.width, depth, true);
    multiply<T>({s.d_o_across + first * s.v.width, kRowBlock, s.p_panels, kPanel * kRowBlock, s.d_v,
                 kKeyBlock},
                s.v.width, depth, padded, true);
    multiply<T>({s.q_across + first * s.k.width, kRowBlock, s.d_s_panels, kPanel * kRowBlock, s.d_k,
                 kKeyBlock},
                s.k.width, depth, padded, true);
}

template <class T, class S>
void store_key_gradients(const PrefillBackward<T, S>& backward, const Head& item, int64_t begin,
                         int64_t count, const BackwardScratch<T>& scratch) {
    const PrefillSizes& sizes = backward.forward.sizes;
    using U = Unit<S>;
    const auto turn = [&](const S* from, int64_t width) {
        transpose(reinterpret_cast<const U*>(from), kKeyBlock, width, round_up(count, 16),
                  reinterpret_cast<U*>(scratch.turned), width);
    };
    turn(scratch.d_k, scratch.k.width);
    for (int64_t j = 0; j < count; ++j) {
        const int64_t token = begin + j;
        const S* d_k = scratch.turned + j * scratch.k.width;
        store_scaled(d_k, S(sizes.scale), sizes.nope,
                     backward.d_kv.at(token, item.head * (sizes.nope + sizes.v)));
        store_scaled(d_k + sizes.nope, S(sizes.scale), sizes.rope,
                     backward.d_k_pe.at(item.head * backward.tokens + token));
    }
    turn(scratch.d_v, scratch.v.width);
    for (int64_t j = 0; j < count; ++j) {
        store_scaled(scratch.turned + j * scratch.v.width, S(1), sizes.v,
                     backward.d_kv.at(begin + j, item.head * (sizes.nope + sizes.v) + sizes.nope));
    }
}

}  // namespace

template <Isa isa, class T, class S>
int64_t attention_prefill_backward_scratch(const PrefillSizes& sizes, int64_t longest) {
    return BackwardScratch<T>(sizes, longest, nullptr).bytes;
}

template <Isa isa, class T, class S>
void attention_prefill_backward_item(const PrefillBackward<T, S>& backward, int64_t head,
                                     int64_t start, int64_t end, void* memory) {
    const TileScope tiles;
    const Head item = {.head = head, .start = start, .length = end - start};
    BackwardScratch<T> scratch(backward.forward.sizes, item.length, memory);
    load_sequence(backward, item, scratch);
    for (int64_t block = 0; block < item.length; block += kKeyBlock) {
        const int64_t keys = item.length - block < kKeyBlock ? item.length - block : kKeyBlock;
        load_keys(backward.forward, head, start + block, keys, scratch);
        for (int64_t first = block; first < item.length; first += kRowBlock) {
            const int64_t rows = item.length - first < kRowBlock ? item.length - first : kRowBlock;
            meet(scratch, first, rows, first - block, keys);
        }
        store_key_gradients(backward, item, start + block, keys, scratch);
    }
    for (int64_t t = 0; t < item.length; ++t) {
        store_scaled(scratch.d_q + t * scratch.k.width, S(backward.forward.sizes.scale),
                     scratch.k.dim, backward.d_q.at(start + t, head * scratch.k.dim));
    }
}

template <Isa isa, class T, class S>
void attention_prefill_sum_heads(const PrefillBackward<T, S>& backward, int64_t token,
                                 Rows<T> d_k_pe) {
    using V = Lanes<S>;
    for_each_vector<V>(backward.forward.sizes.rope, [&](int64_t i, auto part) {
        V sum = V::all(0);
        for (int64_t h = 0; h < backward.forward.sizes.heads; ++h) {
            sum = sum + V::load(backward.d_k_pe.at(h * backward.tokens + token, i), part);
        }
        store(d_k_pe.at(token, i), sum, part);
    });
}

#define HADAL_INSTANTIATE(T, S)                                                                    \
    template int64_t attention_prefill_backward_scratch<kIsa, T, S>(const PrefillSizes&, int64_t); \
    template void attention_prefill_backward_item<kIsa, T, S>(const PrefillBackward<T, S>&,        \
                                                              int64_t, int64_t, int64_t, void*);   \
    template void attention_prefill_sum_heads<kIsa, T, S>(const PrefillBackward<T, S>&, int64_t,   \
                                                          Rows<T>)
HADAL_INSTANTIATE(bf16, float);
HADAL_INSTANTIATE(float, float);
HADAL_INSTANTIATE(double, double);
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
