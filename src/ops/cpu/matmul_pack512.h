// Packing for the kernels that multiply pairs: strips of sixteen columns, where one 32-bit unit
// holds one f32 or the bf16 values of k and k + 1. AVX-512 and AMX read the same units.
#pragma once

#if defined(__AVX512BW__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "ops/cpu/matmul.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kStrip = 16;  // columns of a strip, and units of a vector

inline __mmask16 first_lanes(int64_t count) {
    return __mmask16(count >= 16 ? 0xFFFFu : (1u << count) - 1u);
}

/// Sixteen vectors v[j], j of rows, become their transpose: unit r of result c is unit c of row r.
/// `rows` are 64 bytes each, `stride` bytes apart. Lanes of 128 bits are placed while loading,
/// which leaves the shuffle unit (the bottleneck) only the exchange within lanes: 32 shuffles
/// instead of 64.
inline void load_transposed(const std::byte* rows, int64_t stride, __m512i (&result)[16]) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; ++j) {  // four units of every row at a time
        __m512i part[4];
#pragma GCC unroll 4
        for (int i = 0; i < 4; ++i) {
            const auto at = [&](int row) {
                return _mm_loadu_si128(
                    reinterpret_cast<const __m128i*>(rows + row * stride + j * 16));
            };
            __m512i v = _mm512_castsi128_si512(at(i));
            v = _mm512_mask_broadcast_i32x4(v, 0x00F0, at(i + 4));
            v = _mm512_mask_broadcast_i32x4(v, 0x0F00, at(i + 8));
            part[i] = _mm512_mask_broadcast_i32x4(v, 0xF000, at(i + 12));
        }
        const __m512i low01 = _mm512_unpacklo_epi32(part[0], part[1]);
        const __m512i high01 = _mm512_unpackhi_epi32(part[0], part[1]);
        const __m512i low23 = _mm512_unpacklo_epi32(part[2], part[3]);
        const __m512i high23 = _mm512_unpackhi_epi32(part[2], part[3]);
        result[4 * j] = _mm512_unpacklo_epi64(low01, low23);
        result[4 * j + 1] = _mm512_unpackhi_epi64(low01, low23);
        result[4 * j + 2] = _mm512_unpacklo_epi64(high01, high23);
        result[4 * j + 3] = _mm512_unpackhi_epi64(high01, high23);
    }
}

/// Copies `count` rows of `bytes` ≤ 64 into a square of 16 rows of 64 bytes, zeros behind.
inline void copy_square(const std::byte* rows, int64_t stride, int64_t count, int64_t bytes,
                        std::byte* square) {
    const __mmask64 mask = bytes >= 64 ? ~0ull : (1ull << bytes) - 1;
    for (int64_t i = 0; i < 16; ++i) {
        const __m512i v =
            i < count ? _mm512_maskz_loadu_epi8(mask, rows + i * stride) : _mm512_setzero_si512();
        _mm512_store_si512(square + i * 64, v);
    }
}

/// Sixteen vectors of sixteen columns: units k_begin, k_begin + 1, … of columns begin … begin +
/// count − 1 (count ≤ 16). What lies behind `count` or behind k_end is zero. Never reads past a
/// row's end: a mapped file may end there.
template <class In>
inline void load_units(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k_begin,
                       int64_t k_end, __m512i (&v)[16]) {
    constexpr int64_t kPerUnit = 4 / int64_t(sizeof(In));
    const int64_t k_count = k_end - k_begin < 16 * kPerUnit ? k_end - k_begin : 16 * kPerUnit;
    const auto* data = static_cast<const In*>(x.data);
    if (x.k_contiguous) {
        const auto* rows = reinterpret_cast<const std::byte*>(data + begin * x.stride + k_begin);
        const int64_t stride = x.stride * int64_t(sizeof(In));
        if (count == 16 && k_count == 16 * kPerUnit) {
            load_transposed(rows, stride, v);
        } else {
            alignas(64) std::byte square[16 * 64];
            copy_square(rows, stride, count, k_count * int64_t(sizeof(In)), square);
            load_transposed(square, 64, v);
        }
        return;
    }
    const __mmask16 mask = first_lanes(count);
    const In* row = data + k_begin * x.stride + begin;
#pragma GCC unroll 16
    for (int i = 0; i < 16; ++i) {
        const int64_t k = i * kPerUnit;
        const __mmask16 here = k < k_count ? mask : __mmask16(0);
        if constexpr (kPerUnit == 1) {
            v[i] = _mm512_maskz_loadu_epi32(here, row + k * x.stride);
        } else {
            const __mmask16 next = k + 1 < k_count ? mask : __mmask16(0);
            const __m256i even = _mm256_maskz_loadu_epi16(here, row + k * x.stride);
            const __m256i odd = _mm256_maskz_loadu_epi16(next, row + (k + 1) * x.stride);
            v[i] = _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                   _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16));
        }
    }
}

/// Packs the strip of columns begin … begin + count − 1 over [k_begin, k_end): unit u of column j
/// goes to to[u·stride + j]; units are filled with zeros up to a multiple of 16.
template <class In>
inline void pack_strip(const MatmulOperand& x, int64_t begin, int64_t count, int64_t k_begin,
                       int64_t k_end, uint32_t* to, int64_t stride, __mmask16 lanes) {
    constexpr int64_t kPerSquare = 64 / int64_t(sizeof(In));
    for (int64_t k = k_begin; k < k_end; k += kPerSquare, to += 16 * stride) {
        __m512i v[16];
        load_units<In>(x, begin, count, k, k_end, v);
#pragma GCC unroll 16
        for (int i = 0; i < 16; ++i) _mm512_mask_storeu_epi32(to + i * stride, lanes, v[i]);
    }
}

/// The two strips of columns begin … begin + 31 (those below `count`) over 32 values of k, for bf16
/// stored [k, free]: two rows of 32 values make one vector of each strip.
[[maybe_unused]] inline void pack_two_strips(const MatmulOperand& x, int64_t begin, int64_t count,
                                             int64_t k, int64_t k_end, uint32_t* const (&to)[2],
                                             int64_t stride, __mmask16 lanes) {
    const __m512i first = _mm512_set_epi64(11, 10, 3, 2, 9, 8, 1, 0);
    const __m512i second = _mm512_set_epi64(15, 14, 7, 6, 13, 12, 5, 4);
    const __mmask32 columns = count >= 32 ? ~0u : (1u << count) - 1u;
    const auto* row = static_cast<const bf16*>(x.data) + k * x.stride + begin;
    for (int64_t i = 0; i < 16; ++i, row += 2 * x.stride) {
        const __mmask32 here = k + 2 * i < k_end ? columns : 0u;
        const __mmask32 next = k + 2 * i + 1 < k_end ? columns : 0u;
        const __m512i even = _mm512_maskz_loadu_epi16(here, row);
        const __m512i odd = _mm512_maskz_loadu_epi16(next, row + x.stride);
        const __m512i low = _mm512_unpacklo_epi16(even, odd);
        const __m512i high = _mm512_unpackhi_epi16(even, odd);
        _mm512_mask_storeu_epi32(to[0] + i * stride, lanes,
                                 _mm512_permutex2var_epi64(low, first, high));
        if (count > 16) {
            _mm512_storeu_si512(to[1] + i * stride, _mm512_permutex2var_epi64(low, second, high));
        }
    }
}

}  // namespace
}  // namespace hadal::ops::cpu

#endif
