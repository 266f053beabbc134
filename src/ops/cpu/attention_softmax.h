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

    static QueryRows carve(Carver& carver, int64_t most_rows, int64_t k_dim, int64_t v_dim) {
        const int64_t rows = round_up(most_rows, kRowBlock), v_width = round_up(v_dim, kPanel);
        const int64_t k_stride = padded_width<T>(k_dim);
        return {.count = 0,
                .k_depth = round_up(k_dim, Numbers<T>::kDepth),
                .k_stride = k_stride,
                .v_width = v_width,
                .q = carver.take<Packed>(rows * k_stride),
                .o = carver.take<Sum>(rows * v_width),
                .m = carver.take<Sum>(rows),
                .l = carver.take<Sum>(rows)};
    }
};

/// A block of keys and values in operand layout.
template <class T>
struct KeyBlock {
    using Packed = typename Numbers<T>::Packed;
    int64_t depth;  // keys, up to a multiple of kDepth and kPanel with zeros
    Packed* k;      // panels of depth k_depth, columns are keys
    Packed* v;      // panels of depth `depth`, columns are the value's channels
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

template <class T>
inline void reset(const QueryRows<T>& rows) {
    fill_zero(rows.o, round_up(rows.count, kRowBlock) * rows.v_width);
    for (int64_t r = 0; r < round_up(rows.count, kRowBlock); ++r) {
        rows.m[r] = kNothingSeen<typename Numbers<T>::Sum>;
        rows.l[r] = 0;
    }
}

/// Lanes from `visible` on become `value`.
template <class S>
inline Vector<S> masked(Vector<S> v, int64_t first, int64_t visible, S value) {
    return counting<S>(first) < splat(S(visible)) ? v : splat(value);
}

template <class S>
inline S largest_score(const S* scores, int64_t visible) {
    constexpr int kStep = kLanes<S>;
    Vector<S> best = splat(kNothingSeen<S>);
    int64_t i = 0;
    for (; i + kStep <= visible; i += kStep) best = larger(best, load(scores + i));
    if (i < visible) best = larger(best, masked(load(scores + i), i, visible, kNothingSeen<S>));
    return largest_lane<S>(best);
}

/// A vector of probabilities as the left operand of p·v.
inline void store_packed(double* to, DoubleVector p) {
    store(to, p);
}
inline void store_packed(float* to, FloatVector p) {
    store(to, p);
}
#if defined(__AVX512BF16__)
inline void store_packed(bf16* to, FloatVector p) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), __m256i(_mm512_cvtneps_pbh(__m512(p))));
}
#endif

/// p as it enters a product: in bf16 mode with a bfloat16's precision, as the published code rounds
/// it.
template <class T>
inline Vector<typename Numbers<T>::Sum> as_operand(Vector<typename Numbers<T>::Sum> p) {
    if constexpr (sizeof(T) == 2 && Numbers<T>::kPair == 1)
        return rounded_to_bf16(p);
    else
        return p;
}

/// p = 2^(s·scale − m) for the visible keys, 0 up to `depth`; returns Σ p.
template <class T>
inline typename Numbers<T>::Sum exponentiate(const typename Numbers<T>::Sum* scores,
                                             int64_t visible, int64_t depth,
                                             typename Numbers<T>::Sum scale,
                                             typename Numbers<T>::Sum m,
                                             typename Numbers<T>::Packed* p) {
    using S = typename Numbers<T>::Sum;
    constexpr int kStep = kLanes<S>;
    const Vector<S> factor = splat(scale), minus_m = splat(-m);
    Vector<S> sum = splat(S(0));
    int64_t i = 0;
    for (; i < visible; i += kStep) {
        Vector<S> x = multiply_add(load(scores + i), factor, minus_m);
        x = power_of_two(x);
        if (i + kStep > visible) x = masked(x, i, visible, S(0));
        sum += x;
        store_packed(p + i, as_operand<T>(x));
    }
    if (i < depth) fill_zero(p + i, depth - i);
    return sum_of_lanes<S>(sum);
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
        store(scratch.factors + r, power_of_two(load(scratch.factors + r)));
    }
}

/// Rows first … first + kRowBlock − 1 meet the block; visible(r) of its keys, counted from its
/// first, are open to row first + r. `depth` ≥ every visible(r) bounds the work.
template <class T, class Visible>
inline void attend(const QueryRows<T>& rows, int64_t first, const KeyBlock<T>& keys, int64_t depth,
                   typename Numbers<T>::Sum scale, const Visible& visible,
                   const SoftmaxScratch<T>& scratch) {
    using S = typename Numbers<T>::Sum;
    const int64_t left = rows.count - first;
    const int64_t count = left < kRowBlock ? left : kRowBlock;
    const int64_t padded = round_up(count, Numbers<T>::kRows);
    multiply<T>({rows.q + first * rows.k_stride, rows.k_stride, keys.k, kPanel * rows.k_depth,
                 scratch.scores, kKeyBlock},
                padded, round_up(depth, kPanel), rows.k_depth, false);
    raise_maxima<T>(scratch, count, scale, visible, rows.m + first);
    for (int64_t r = 0; r < count; ++r) {
        const int64_t row = first + r;
        auto* p = scratch.probabilities + r * kKeyBlock;
        const S factor = scratch.factors[r];
        rows.l[row] =
            rows.l[row] * factor + exponentiate<T>(scratch.scores + r * kKeyBlock, visible(r),
                                                   depth, scale, rows.m[row], p);
        if (factor != 1) {
            S* o = rows.o + row * rows.v_width;
            for (int64_t i = 0; i < rows.v_width; i += kLanes<S>) {
                store(o + i, load(o + i) * splat(factor));
            }
        }
    }
    for (int64_t r = count; r < padded; ++r)
        fill_zero(scratch.probabilities + r * kKeyBlock, depth);
    multiply<T>({scratch.probabilities, kKeyBlock, keys.v, kPanel * keys.depth,
                 rows.o + first * rows.v_width, rows.v_width},
                padded, rows.v_width, depth, true);
}

}  // namespace
}  // namespace hadal::ops::cpu
