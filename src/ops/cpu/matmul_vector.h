// The vector registers of one instruction set as the blocked matrix product sees them. Operands are
// units of 32 bits: one f32 value of k, or the bf16 values of k and k + 1 where the set multiplies
// pairs.
//
// A struct has: kLanes; kPerUnit (values of k in a unit); Sums, Units; zero, load, store; units
// (load), broadcast, multiply_add; load_square<In>: kLanes vectors, vector i holding unit i of
// kLanes columns.
#pragma once

#include <cstddef>
#include <cstdint>

#include "ops/cpu/matmul.h"
#include "ops/cpu/matmul_store.h"

#if defined(__AVX2__)
#include <immintrin.h>
#endif
#if defined(__AVX512BW__)
#include "ops/cpu/matmul_pack512.h"
#endif

namespace hadal::ops::cpu {
namespace {

/// A square of units, one value after another: for tails, and for sets without a transpose of their
/// own.
template <int lanes, class In>
void gather_square(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k_begin,
                   int64_t k_end, float (&square)[lanes][lanes]) {
    const auto* data = static_cast<const In*>(x.data);
    const int64_t k_count = k_end - k_begin < lanes ? k_end - k_begin : lanes;
    if (k_count < lanes || count < lanes) __builtin_memset(square, 0, sizeof square);
    if (x.k_contiguous) {
        for (int64_t j = 0; j < count; ++j) {
            const In* row = data + (begin + j) * x.stride + k_begin;
            for (int64_t i = 0; i < k_count; ++i) square[i][j] = widen(row[i]);
        }
    } else {
        for (int64_t i = 0; i < k_count; ++i) {
            const In* row = data + (k_begin + i) * x.stride + begin;
            for (int64_t j = 0; j < count; ++j) square[i][j] = widen(row[j]);
        }
    }
}

#if defined(__AVX512BW__)

struct Vector512 {
    static constexpr int kLanes = 16;
    static constexpr int kPerUnit = 1;
    static constexpr int kVectors =
        4;  // of a panel: 6 rows × 64 columns are 24 of the 32 registers
    using Sums = __m512;
    using Units = __m512;
    static Sums zero() {
        return _mm512_setzero_ps();
    }
    static Sums load(const float* p) {
        return _mm512_loadu_ps(p);
    }
    static void store(float* p, Sums sums) {
        _mm512_storeu_ps(p, sums);
    }
    static Units units(const uint32_t* p) {
        return _mm512_loadu_ps(p);
    }
    static Units broadcast(const std::byte* p) {
        float value;
        __builtin_memcpy(&value, p, 4);
        return _mm512_set1_ps(value);
    }
    static Sums multiply_add(Sums sums, Units a, Units b) {
        return _mm512_fmadd_ps(a, b, sums);
    }
    template <class In>
    static void load_square(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                            int64_t k_end, Units (&v)[kLanes]) {
        __m512i bits[kLanes];
        load_units<In>(x, begin, count, k, k_end, bits);
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) v[i] = _mm512_castsi512_ps(bits[i]);
    }
    static void store_units(uint32_t* p, Units units) {
        _mm512_storeu_ps(p, units);
    }
};

/// Pairs of bf16: sums += a₂ᵢ·b₂ᵢ and a₂ᵢ₊₁·b₂ᵢ₊₁, one after the other.
struct Vector512Pairs {
    static constexpr int kLanes = 16;
    static constexpr int kPerUnit = 2;
    static constexpr int kVectors = 4;
    using Sums = __m512;
    using Units = __m512i;
    static Sums zero() {
        return _mm512_setzero_ps();
    }
    static Sums load(const float* p) {
        return _mm512_loadu_ps(p);
    }
    static void store(float* p, Sums sums) {
        _mm512_storeu_ps(p, sums);
    }
    static Units units(const uint32_t* p) {
        return _mm512_loadu_si512(p);
    }
    static Units broadcast(const std::byte* p) {
        int value;
        __builtin_memcpy(&value, p, 4);
        return _mm512_set1_epi32(value);
    }
    static Sums multiply_add(Sums sums, Units a, Units b) {
        return _mm512_dpbf16_ps(sums, __m512bh(a), __m512bh(b));
    }
    template <class In>
    static void load_square(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                            int64_t k_end, Units (&v)[kLanes]) {
        load_units<In>(x, begin, count, k, k_end, v);
    }
    static void store_units(uint32_t* p, Units units) {
        _mm512_storeu_si512(p, units);
    }
};

#elif defined(__AVX2__)

struct Vector256 {
    static constexpr int kLanes = 8;
    static constexpr int kPerUnit = 1;
    static constexpr int kVectors = 2;  // 6 rows × 16 columns are 12 of the 16 registers
    using Sums = __m256;
    using Units = __m256;
    static Sums zero() {
        return _mm256_setzero_ps();
    }
    static Sums load(const float* p) {
        return _mm256_loadu_ps(p);
    }
    static void store(float* p, Sums sums) {
        _mm256_storeu_ps(p, sums);
    }
    static Units units(const uint32_t* p) {
        return _mm256_loadu_ps(reinterpret_cast<const float*>(p));
    }
    static Units broadcast(const std::byte* p) {
        float value;
        __builtin_memcpy(&value, p, 4);
        return _mm256_set1_ps(value);
    }
    static Sums multiply_add(Sums sums, Units a, Units b) {
        return _mm256_fmadd_ps(a, b, sums);
    }
    static Units widened(const float* p) {
        return _mm256_loadu_ps(p);
    }
    static Units widened(const bf16* p) {
        const __m128i values = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(values), 16));
    }
    template <class In>
    static void load_square(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                            int64_t k_end, Units (&v)[kLanes]) {
        if (count < kLanes || k_end - k < kLanes) {
            float square[kLanes][kLanes];
            gather_square<kLanes, In>(x, begin, count, k, k_end, square);
            for (int i = 0; i < kLanes; ++i) v[i] = _mm256_loadu_ps(square[i]);
            return;
        }
        const In* rows = static_cast<const In*>(x.data) +
                         (x.k_contiguous ? begin * x.stride + k : k * x.stride + begin);
        for (int i = 0; i < kLanes; ++i) v[i] = widened(rows + i * x.stride);
        if (x.k_contiguous) transpose_square(v);
    }
    static void transpose_square(Units (&v)[kLanes]) {
        __m256 pairs[8];  // [row pair][low, high] of 32-bit units, then of 64
        for (int i = 0; i < 8; i += 2) {
            pairs[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
            pairs[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
        }
        __m256 quads[8];  // quads[4h + c]: column c (and c + 4) of rows 4h … 4h + 3
        for (int h = 0; h < 2; ++h) {
            for (int c = 0; c < 2; ++c) {
                const __m256d low = _mm256_castps_pd(pairs[4 * h + c]);
                const __m256d high = _mm256_castps_pd(pairs[4 * h + 2 + c]);
                quads[4 * h + 2 * c] = _mm256_castpd_ps(_mm256_unpacklo_pd(low, high));
                quads[4 * h + 2 * c + 1] = _mm256_castpd_ps(_mm256_unpackhi_pd(low, high));
            }
        }
        for (int c = 0; c < 4; ++c) {
            v[c] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x20);
            v[c + 4] = _mm256_permute2f128_ps(quads[c], quads[4 + c], 0x31);
        }
    }
    static void store_units(uint32_t* p, Units units) {
        _mm256_storeu_ps(reinterpret_cast<float*>(p), units);
    }
};

#else

/// What every 64-bit processor has: four lanes, a multiplication and an addition.
struct Vector128 {
    static constexpr int kLanes = 4;
    static constexpr int kPerUnit = 1;
    static constexpr int kVectors = 2;
    using Sums = float __attribute__((vector_size(16)));
    using Units = Sums;
    static Sums zero() {
        return Sums{};
    }
    static Sums load(const float* p) {
        Sums sums;
        __builtin_memcpy(&sums, p, sizeof sums);
        return sums;
    }
    static void store(float* p, Sums sums) {
        __builtin_memcpy(p, &sums, sizeof sums);
    }
    static Units units(const uint32_t* p) {
        Units units;
        __builtin_memcpy(&units, p, sizeof units);
        return units;
    }
    static Units broadcast(const std::byte* p) {
        float value;
        __builtin_memcpy(&value, p, 4);
        return Units{value, value, value, value};
    }
    static Sums multiply_add(Sums sums, Units a, Units b) {
        return sums + a * b;
    }
    template <class In>
    static void load_square(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k,
                            int64_t k_end, Units (&v)[kLanes]) {
        float square[kLanes][kLanes];
        gather_square<kLanes, In>(x, begin, count, k, k_end, square);
        for (int i = 0; i < kLanes; ++i) v[i] = load(square[i]);
    }
    static void store_units(uint32_t* p, Units units) {
        __builtin_memcpy(p, &units, sizeof units);
    }
};

#endif

/// The registers that multiply values of In.
template <class In>
struct VectorOf;
#if defined(__AVX512BW__)
template <>
struct VectorOf<float> {
    using Type = Vector512;
};
template <>
struct VectorOf<bf16> {
    using Type = Vector512Pairs;
};
#elif defined(__AVX2__)
template <class In>
struct VectorOf {
    using Type = Vector256;
};
#else
template <class In>
struct VectorOf {
    using Type = Vector128;
};
#endif

}  // namespace
}  // namespace hadal::ops::cpu
