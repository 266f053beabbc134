// One step of attention with a running maximum: a group of query rows meets one block of keys.
//
// Milakov and Gimelshein 2018: m ← max(m, s), l ← l·2^(m_old − m) + Σ p, o ← o·2^(m_old − m) + p·v.
// Scores are in units of log2 (scale·log2 e is one factor), so that the exponential is 2^x. A row's
// arithmetic depends only on its own scores and on how many keys it sees: masked lanes add exact
// zeros.
#pragma once

#include "ops/cpu/attention_pack.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kKeyBlock =
    128;  // keys of a block: a block of scores is 32 KiB, its operands fit the second cache
constexpr int64_t kRowBlock = 64;  // query rows whose scores are held at one time
constexpr double kLog2E = 1.4426950408889634;
constexpr double kLn2 = 0.6931471805599453;

/// Below every score that can occur and finite, so that no difference of two is a NaN.
template <class S>
constexpr S kNothingSeen = S(-1e30);

/// A group of query rows and what they have gathered so far.
template <class T>
struct QueryRows {
    using Packed = typename Numbers<T>::Packed;
    using Sum = typename Numbers<T>::Sum;
    int64_t count;     // rows; buffers hold a multiple of kRowBlock
    int64_t k_depth;   // key width, a multiple of kDepth
    int64_t k_stride;  // ≥ k_depth, a multiple of kPanel too
    int64_t v_width;   // value width, a multiple of kPanel
    Packed* q;         // [rows, k_stride]
    Sum* o;            // [rows, v_width] Σ p·v
    Sum* m;            // [rows] largest score·scale·log2 e
    Sum* l;            // [rows] Σ p
    Sum scale;         // of scores, times log2 e

    static QueryRows carve(Carver& carver, int64_t most_rows, int64_t k_dim, int64_t v_dim,
                           double scale) {
        const int64_t rows = round_up(most_rows, kRowBlock), v_width = round_up(v_dim, kPanel);
        const int64_t k_stride = padded_width<T>(k_dim);
        return {.count = 0,
                .k_depth = round_up(k_dim, Numbers<T>::kDepth),
                .k_stride = k_stride,
                .v_width = v_width,
                .q = carver.take<Packed>(rows * k_stride),
                .o = carver.take<Sum>(rows * v_width),
                .m = carver.take<Sum>(rows),
                .l = carver.take<Sum>(rows),
                .scale = Sum(scale * kLog2E)};
    }
};

/// A block of keys and values in operand layout.
template <class T>
struct KeyBlock {
    using Packed = typename Numbers<T>::Packed;
    int64_t depth;    // keys, up to a multiple of kDepth and kPanel with zeros
    Packed* k;        // panels of depth k_depth, columns are keys
    Packed* v;        // panels of depth `depth`, columns are the value's channels
    int64_t v_panel;  // elements from one panel of v to the next
};

template <class T>
struct SoftmaxScratch {
    typename Numbers<T>::Sum* scores;            // [kRowBlock, kKeyBlock]
    typename Numbers<T>::Packed* probabilities;  // [kRowBlock, kKeyBlock]
    typename Numbers<T>::Sum* factors;           // [kRowBlock]

    static SoftmaxScratch carve(Carver& carver) {
        using N = Numbers<T>;
        return {carver.take<typename N::Sum>(kRowBlock * kKeyBlock),
                carver.take<typename N::Packed>(kRowBlock * kKeyBlock),
                carver.take<typename N::Sum>(kRowBlock)};
    }
};

template <class T>
inline int64_t padded_keys(int64_t keys) {
    return round_up(keys, Numbers<T>::kDepth > kPanel ? Numbers<T>::kDepth : kPanel);
}

/// Nothing seen; o is left as it is.
template <class T>
inline void reset_softmax(const QueryRows<T>& rows) {
    const int64_t padded = round_up(rows.count, Numbers<T>::kRows);
    for (int64_t r = 0; r < padded; ++r) {
        rows.m[r] = kNothingSeen<typename Numbers<T>::Sum>;
        rows.l[r] = 0;
    }
}
template <class T>
inline void reset(const QueryRows<T>& rows) {
    fill_zero(rows.o, round_up(rows.count, Numbers<T>::kRows) * rows.v_width);
    reset_softmax(rows);
}

/// 2^x for x ≤ 1 or so; 1 at 0, 0 from −150 down; a NaN stays one. 2^f on [−½, ½] is the Taylor
/// series of e^(f·ln 2) up to f⁷: the first term left out is below 2⁻²⁷. `brief` stops at f⁵, below
/// 2⁻¹⁸: for what is rounded to a bfloat16.
template <bool brief>
inline Lanes<float> power_of_two(Lanes<float> x) {
    using V = Lanes<float>;
    constexpr float kShift = 0x1.8p23f;  // adding it rounds to an integer
    x = max(V::all(-150.0f), x);         // in this order a NaN comes through
    const V k = (x + V::all(kShift)) - V::all(kShift);
    const V f = x - k;
    V sum = V::all(1.3333558e-3f);  // (ln 2)ⁿ / n!
    if constexpr (!brief) {
        sum = fma(V::all(1.5252734e-5f), f, V::all(1.5403530e-4f));
        sum = fma(sum, f, V::all(1.3333558e-3f));
    }
    sum = fma(sum, f, V::all(9.6181291e-3f));
    sum = fma(sum, f, V::all(5.5504109e-2f));
    sum = fma(sum, f, V::all(2.4022651e-1f));
    sum = fma(sum, f, V::all(6.9314718e-1f));
    return scale(fma(sum, f, V::all(1.0f)), k);
}
template <bool brief>
inline Lanes<double> power_of_two(Lanes<double> x) {
    return {__builtin_exp2(x.v)};
}

inline float logarithm(float x) {
    return __builtin_logf(x);
}
inline double logarithm(double x) {
    return __builtin_log(x);
}

template <class S>
inline S largest_score(const S* scores, int64_t visible) {
    using V = Lanes<S>;
    V best = V::all(kNothingSeen<S>);
    for_each_vector<V>(visible, [&](int64_t i, auto part) {
        best = max(best, select(part, V::load(scores + i, Whole{}), best));
    });
    return max_lanes(best);
}

/// A vector of probabilities (or their gradients) in operand layout: in bf16 mode with a bfloat16's
/// precision, as the published code rounds them.
template <class T>
inline void store_operand(typename Numbers<T>::Packed* to, Lanes<typename Numbers<T>::Sum> p) {
    if constexpr (Numbers<T>::kPair == 2) {
#if defined(__AVX512BF16__)  // flushes subnormals, which add nothing to a sum of probabilities
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), __m256i(_mm512_cvtneps_pbh(p.v)));
#endif
    } else if constexpr (sizeof(T) == 2) {
        bf16 rounded[kLanes<float>];
        store(rounded, p, Whole{});
        store(to, Lanes<float>::load(rounded, Whole{}), Whole{});
    } else {
        store(to, p, Whole{});
    }
}

/// p = 2^(s·scale − m) for the visible keys, 0 up to `depth`; returns Σ p.
template <class T>
inline typename Numbers<T>::Sum exponentiate(const typename Numbers<T>::Sum* scores,
                                             int64_t visible, int64_t depth,
                                             typename Numbers<T>::Sum scale,
                                             typename Numbers<T>::Sum m,
                                             typename Numbers<T>::Packed* p) {
    using V = Lanes<typename Numbers<T>::Sum>;
    const V factor = V::all(scale), minus_m = V::all(-m);
    V sum = V::all(0);
    for_each_vector<V>(visible, [&](int64_t i, auto part) {
        const V x = fma(V::load(scores + i, Whole{}), factor, minus_m);
        const V probability = select(part, power_of_two < sizeof(T) == 2 > (x), V::all(0));
        sum = sum + probability;
        store_operand<T>(p + i, probability);
    });
    const int64_t done = round_up(visible, V::kLanes);
    if (done < depth) fill_zero(p + done, depth - done);
    return sum_lanes(sum);
}

/// New maxima of `count` rows and 2^(m_old − m_new), by which what they have gathered shrinks.
template <class T, class Visible>
inline void raise_maxima(const SoftmaxScratch<T>& scratch, int64_t count,
                         typename Numbers<T>::Sum scale, const Visible& visible,
                         typename Numbers<T>::Sum* m) {
    using S = typename Numbers<T>::Sum;
    for (int64_t r = 0; r < count; ++r) {
        scratch.factors[r] = 0;
        if (visible(r) <= 0) continue;
        const S largest = largest_score(scratch.scores + r * kKeyBlock, visible(r)) * scale;
        if (largest > m[r]) {
            scratch.factors[r] = m[r] - largest;
            m[r] = largest;
        }
    }
    for (int64_t r = 0; r < count; r += kLanes<S>) {
        store(scratch.factors + r,
              power_of_two<false>(Lanes<S>::load(scratch.factors + r, Whole{})), Whole{});
    }
}

/// Rows first … first + kRowBlock − 1, whose scores with a block are known, make their
/// probabilities of it, and what they have gathered shrinks by as much as their maxima grow;
/// visible(r) of the block's keys, counted from its first, are open to row first + r. `depth` ≥
/// every visible(r) bounds the work. Returns how many rows the probabilities have, with padding.
template <class T, class Visible>
inline int64_t make_probabilities(const QueryRows<T>& rows, int64_t first, int64_t depth,
                                  const Visible& visible, const SoftmaxScratch<T>& scratch) {
    using S = typename Numbers<T>::Sum;
    const int64_t left = rows.count - first;
    const int64_t count = left < kRowBlock ? left : kRowBlock;
    const int64_t padded = round_up(count, Numbers<T>::kRows);
    raise_maxima<T>(scratch, count, rows.scale, visible, rows.m + first);
    for (int64_t r = 0; r < count; ++r) {
        const int64_t row = first + r;
        auto* p = scratch.probabilities + r * kKeyBlock;
        const S factor = scratch.factors[r];
        const bool has_seen = rows.l[row] != 0;
        rows.l[row] =
            rows.l[row] * factor + exponentiate<T>(scratch.scores + r * kKeyBlock, visible(r),
                                                   depth, rows.scale, rows.m[row], p);
        if (factor != 1 && has_seen) {
            S* o = rows.o + row * rows.v_width;
            for (int64_t i = 0; i < rows.v_width; i += kLanes<S>) {
                store(o + i, Lanes<S>::load(o + i, Whole{}) * Lanes<S>::all(factor), Whole{});
            }
        }
    }
    for (int64_t r = count; r < padded; ++r)
        fill_zero(scratch.probabilities + r * kKeyBlock, depth);
    return padded;
}

/// The same rows take in the block's values.
template <class T, class Visible>
inline void take_values(const QueryRows<T>& rows, int64_t first, const KeyBlock<T>& keys,
                        int64_t depth, const Visible& visible, const SoftmaxScratch<T>& scratch) {
    const int64_t padded = make_probabilities(rows, first, depth, visible, scratch);
    multiply<T>({scratch.probabilities, kKeyBlock, keys.v, keys.v_panel,
                 rows.o + first * rows.v_width, rows.v_width},
                padded, rows.v_width, depth, true);
}

/// The same rows meet the block, scores and all.
template <class T, class Visible>
inline void attend(const QueryRows<T>& rows, int64_t first, const KeyBlock<T>& keys, int64_t depth,
                   const Visible& visible, const SoftmaxScratch<T>& scratch) {
    const int64_t left = rows.count - first;
    const int64_t count = left < kRowBlock ? left : kRowBlock;
    multiply<T>({rows.q + first * rows.k_stride, rows.k_stride, keys.k, kPanel * rows.k_depth,
                 scratch.scores, kKeyBlock},
                round_up(count, Numbers<T>::kRows), round_up(depth, kPanel), rows.k_depth, false);
    take_values(rows, first, keys, depth, visible, scratch);
}

}  // namespace
}  // namespace hadal::ops::cpu
