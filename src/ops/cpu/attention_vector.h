// Vectors of the instruction set being compiled, as attention needs them: one generic body serves
// float and double. Everything is in an anonymous namespace: each instruction set has its own copy.
#pragma once

#include <cstddef>
#include <cstdint>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {
namespace {

constexpr Isa kIsa = Isa::HADAL_THIS_ISA;

#if defined(__AVX512F__)
constexpr int kVectorBytes = 64;
#elif defined(__AVX2__)
constexpr int kVectorBytes = 32;
#else
constexpr int kVectorBytes = 16;
#endif

typedef float FloatVector __attribute__((vector_size(kVectorBytes)));
typedef double DoubleVector __attribute__((vector_size(kVectorBytes)));
typedef int32_t IntVector __attribute__((vector_size(kVectorBytes)));

template <class S>
struct VectorType {
    using type = FloatVector;
};
template <>
struct VectorType<double> {
    using type = DoubleVector;
};
template <class S>
using Vector = typename VectorType<S>::type;
template <class S>
constexpr int kLanes = kVectorBytes / int(sizeof(S));

template <class S>
inline Vector<S> load(const S* from) {
    Vector<S> v;
    __builtin_memcpy(&v, from, sizeof v);
    return v;
}

template <class S>
inline void store(S* to, Vector<S> v) {
    __builtin_memcpy(to, &v, sizeof v);
}

template <class S>
inline Vector<S> splat(S value) {
    Vector<S> v;
    for (int i = 0; i < kLanes<S>; ++i) v[i] = value;
    return v;
}

/// a·b + c, in one rounding where the set has it.
inline FloatVector multiply_add(FloatVector a, FloatVector b, FloatVector c) {
#if defined(__AVX512F__)
    return FloatVector(_mm512_fmadd_ps(__m512(a), __m512(b), __m512(c)));
#elif defined(__FMA__)
    return FloatVector(_mm256_fmadd_ps(__m256(a), __m256(b), __m256(c)));
#else
    return a * b + c;
#endif
}

inline DoubleVector multiply_add(DoubleVector a, DoubleVector b, DoubleVector c) {
#if defined(__AVX512F__)
    return DoubleVector(_mm512_fmadd_pd(__m512d(a), __m512d(b), __m512d(c)));
#elif defined(__FMA__)
    return DoubleVector(_mm256_fmadd_pd(__m256d(a), __m256d(b), __m256d(c)));
#else
    return a * b + c;
#endif
}

/// {base, base + 1, …}: to compare with the number of visible keys.
template <class S>
inline Vector<S> counting(int64_t base) {
    Vector<S> v;
    for (int i = 0; i < kLanes<S>; ++i) v[i] = S(i);
    return v + splat(S(base));
}

template <class V>
inline V larger(V a, V b) {
    return a < b ? b : a;
}

/// Lanes in a fixed tree: lane i with lane i + half, and so on down.
template <class S>
inline S sum_of_lanes(Vector<S> v) {
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4) return _mm512_reduce_add_ps(__m512(v));
#endif
    S lanes[kLanes<S>];
    store(lanes, v);
    for (int half = kLanes<S> / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
    }
    return lanes[0];
}

template <class S>
inline S largest_lane(Vector<S> v) {
#if defined(__AVX512F__)
    if constexpr (sizeof(S) == 4) return _mm512_reduce_max_ps(__m512(v));
#endif
    S lanes[kLanes<S>];
    store(lanes, v);
    for (int half = kLanes<S> / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i)
            lanes[i] = lanes[i] < lanes[i + half] ? lanes[i + half] : lanes[i];
    }
    return lanes[0];
}

/// 2^x for x ≤ 1 or so; exactly 1 at 0, exactly 0 from −127 down; a NaN stays one. Relative error
/// below 2⁻²². 2^f on [−½, ½] by the Taylor series of e^(f·ln 2), degree 7: the first term left out
/// is below 2⁻²⁶·½.
inline FloatVector power_of_two(FloatVector x) {
    x = x < splat(-127.0f) ? splat(-127.0f) : x;
    const FloatVector magic = splat(12582912.0f);  // 1.5·2²³: adding it rounds to an integer
    const FloatVector shifted = x + magic;
    const FloatVector f = x - (shifted - magic);
    FloatVector p = splat(1.5252734e-5f);  // (ln 2)^k / k!
    p = multiply_add(p, f, splat(1.5403530e-4f));
    p = multiply_add(p, f, splat(1.3333558e-3f));
    p = multiply_add(p, f, splat(9.6181291e-3f));
    p = multiply_add(p, f, splat(5.5504109e-2f));
    p = multiply_add(p, f, splat(2.4022651e-1f));
    p = multiply_add(p, f, splat(6.9314718e-1f));
    p = multiply_add(p, f, splat(1.0f));
    // The low bits of `shifted` are the integer; the exponent field of −127 is that of zero.
    const IntVector exponent = (IntVector(shifted) - IntVector(magic) + 127) << 23;
    return p * FloatVector(exponent);
}

inline DoubleVector power_of_two(DoubleVector x) {
    for (int i = 0; i < kLanes<double>; ++i) x[i] = __builtin_exp2(x[i]);
    return x;
}

template <class S>
inline S logarithm(S x) {
    if constexpr (sizeof(S) == 4)
        return __builtin_logf(x);
    else
        return __builtin_log(x);
}

inline float widen(bf16 value) {
    const uint32_t bits = uint32_t(value.bits) << 16;
    float result;
    __builtin_memcpy(&result, &bits, 4);
    return result;
}
inline float widen(float value) {
    return value;
}
inline double widen(double value) {
    return value;
}

inline void narrow(float value, bf16& to) {
    uint32_t bits;
    __builtin_memcpy(&bits, &value, 4);
    const bool nan = (bits & 0x7FFFFFFFu) > 0x7F800000u;
    to.bits = uint16_t(nan ? (bits >> 16) | 0x40u : (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16);
}
inline void narrow(float value, float& to) {
    to = value;
}
inline void narrow(double value, double& to) {
    to = value;
}

/// Rounds each lane to a bfloat16's precision. For probabilities and their gradients: finite or
/// hardware's own NaN.
inline FloatVector rounded_to_bf16(FloatVector v) {
    const IntVector bits = IntVector(v);
    return FloatVector((bits + 0x7FFF + ((bits >> 16) & 1)) & ~0xFFFF);
}

}  // namespace
}  // namespace hadal::ops::cpu
