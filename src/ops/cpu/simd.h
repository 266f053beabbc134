// A vector of float32 for the instruction set being compiled, so that a kernel is written once.
//
//     using V = Vector<isa, T>;    // T is the stored type: bf16, float, or double
//     for_each_vector<V>(n, [&](int64_t i, auto part) {
//         store(y + i, V::load(x + i, part) * V::all(2), part);
//     });
//
// `part` is Whole inside a row and Part{count} for its end, which reads and writes `count` elements
// only and fills the other lanes with zeros. bf16 and float share Floats<isa>, with 16, 8 or 4
// lanes; double is Double<isa>, one lane: f64 serves gradient checks, where speed is nothing.
//
// Everything here carries the Isa in its (mangled) name, so that the linker cannot mix copies
// compiled for different machines. Intrinsics and builtins only: see src/ops/README.md.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops::cpu {

struct Whole {};
struct Part {
    int64_t count;  // 1 … lanes − 1
};

/// float32 lanes. `fma(a, b, c)` is a·b + c, rounded once where the machine can (avx2 and up).
template <Isa isa>
struct Floats;

/// The sum of squares of float32 lanes, in double.
template <Isa isa>
struct SquareSum;

}  // namespace hadal::ops::cpu

#if defined(__AVX512F__)
#include "ops/cpu/simd_avx512.h"
#elif defined(__AVX2__)
#include "ops/cpu/simd_avx2.h"
#else
#include "ops/cpu/simd_portable.h"
#endif

namespace hadal::ops::cpu {

/// One float64, with the interface of Floats.
template <Isa isa>
struct Double {
    using Scalar = double;
    static constexpr int64_t kLanes = 1;
    double v;

    static Double all(double value) {
        return {value};
    }
    static Double load(const double* p, Whole) {
        return {*p};
    }
    static Double load(const double* p, Part) {
        return {*p};
    }
    friend void store(double* p, Double a, Whole) {
        *p = a.v;
    }
    friend void store(double* p, Double a, Part) {
        *p = a.v;
    }
    friend Double operator+(Double a, Double b) {
        return {a.v + b.v};
    }
    friend Double operator-(Double a, Double b) {
        return {a.v - b.v};
    }
    friend Double operator*(Double a, Double b) {
        return {a.v * b.v};
    }
    friend Double operator/(Double a, Double b) {
        return {a.v / b.v};
    }
    friend Double fma(Double a, Double b, Double c) {
        return {a.v * b.v + c.v};
    }
    friend Double max(Double a, Double b) {
        return {a.v > b.v ? a.v : b.v};
    }
    friend Double square_root(Double a) {
        return {__builtin_sqrt(a.v)};
    }
    friend Double exp(Double a) {
        return {__builtin_exp(a.v)};
    }
    friend double sum_lanes(Double a) {
        return a.v;
    }
    friend double max_lanes(Double a) {
        return a.v;
    }
    /// Keeps the lanes that `part` names, `other` in the rest.
    friend Double select(Whole, Double a, Double) {
        return a;
    }
    friend Double select(Part, Double a, Double) {
        return a;
    }
};

template <Isa isa, class T>
struct VectorOf {
    using Type = Floats<isa>;
};
template <Isa isa>
struct VectorOf<isa, double> {
    using Type = Double<isa>;
};

/// The vector in which values stored as T are computed.
template <Isa isa, class T>
using Vector = typename VectorOf<isa, T>::Type;

/// f(i, part) for every vector of a row of n elements, in order.
template <class V, class F>
inline __attribute__((always_inline)) void for_each_vector(int64_t n, const F& f) {
    int64_t i = 0;
    for (; i + V::kLanes <= n; i += V::kLanes) f(i, Whole{});
    if constexpr (V::kLanes > 1) {
        if (i < n) f(i, Part{n - i});
    }
}

/// Σ f(i, part) lane by lane. Four running sums hide the latency of the addition; vector k goes to
/// sum k mod 4, and the sums are added as (0 + 1) + (2 + 3): one fixed order that depends on n
/// alone. f must give zero beyond the row's end.
template <class V, class F>
inline __attribute__((always_inline)) V sum_vectors(int64_t n, const F& f) {
    V sums[4] = {V::all(0), V::all(0), V::all(0), V::all(0)};
    int64_t i = 0;
    for (; i + 4 * V::kLanes <= n; i += 4 * V::kLanes) {
        sums[0] = sums[0] + f(i, Whole{});
        sums[1] = sums[1] + f(i + V::kLanes, Whole{});
        sums[2] = sums[2] + f(i + 2 * V::kLanes, Whole{});
        sums[3] = sums[3] + f(i + 3 * V::kLanes, Whole{});
    }
    int last = 0;
    for (; i + V::kLanes <= n; i += V::kLanes, ++last) sums[last] = sums[last] + f(i, Whole{});
    if constexpr (V::kLanes > 1) {
        if (i < n) sums[last] = sums[last] + f(i, Part{n - i});
    }
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/// e^x. x = k·ln2 + r with |r| ≤ ln2/2, e^r by its Taylor sum up to r⁷/7! (relative error 2⁻²⁷·⁵
/// before rounding), times 2^k. Within 1.1 ulp (tests/ops/cross_entropy_test.cpp measures 1.004); 0
/// below −104, ∞ above 88.73; a NaN stays.
template <Isa isa>
inline __attribute__((always_inline)) Floats<isa> exp(Floats<isa> x) {
    using V = Floats<isa>;
    constexpr float kShift = 0x1.8p23f;  // adding it rounds to an integer
    // The order of the operands lets a NaN through.
    x = max(V::all(-105.0f), min(V::all(89.5f), x));
    const V k = fma(x, V::all(0x1.715476p0f), V::all(kShift)) - V::all(kShift);
    // ln2 in two parts, the first with 15 trailing zero bits: k times it is exact even without a
    // fused product.
    V r = fma(k, V::all(-0x1.63p-1f), x);
    r = fma(k, V::all(0x1.bd0106p-13f), r);
    V sum = V::all(1.0f / 5040);
    sum = fma(sum, r, V::all(1.0f / 720));
    sum = fma(sum, r, V::all(1.0f / 120));
    sum = fma(sum, r, V::all(1.0f / 24));
    sum = fma(sum, r, V::all(1.0f / 6));
    sum = fma(sum, r, V::all(0.5f));
    // 1 + (r + r²·sum): the small terms first.
    const V tail = fma(sum, r * r, r);
    return scale(V::all(1.0f) + tail, k);
}

/// 1 / (1 + e⁻ˣ)
template <class V>
inline __attribute__((always_inline)) V sigmoid(V x) {
    return V::all(1) / (V::all(1) + exp(V::all(0) - x));
}

}  // namespace hadal::ops::cpu
