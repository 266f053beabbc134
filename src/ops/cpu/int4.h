// INT4 codes in groups of 32 to the bf16 values that they stand for: the bits that
// formats::dequantize_int4 gives, one group after another. A group has sixteen possible values:
// they are computed once, and its codes are looked up among them.
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include "core/dtype.h"
#include "ops/cpu/matmul_store.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kInt4Group = 32;
constexpr int64_t kInt4Words = 4;  // of a group, eight codes each

/// The codes' values in float32, code + 8 being the index.
alignas(64) constexpr float kInt4Values[16] = {-8, -7, -6, -5, -4, -3, -2, -1,
                                               0,  1,  2,  3,  4,  5,  6,  7};

#if defined(__AVX512VBMI__)

/// Keeps a constant in a register or in memory: the compiler would build it anew in every loop, on
/// the unit that shuffles, which is the bottleneck here.
inline __m512i kept(__m512i constant) {
    asm("" : "+v"(constant));
    return constant;
}

/// Two groups at a time: their 32 possible values fill the register in which words are looked up.
/// Subnormal values become zero, as the instructions that multiply bf16 take them anyway.
class Int4Decoder {
  public:
    void decode_two(const int32_t* words, const bf16* scale, __m512i (&values)[2]) const {
        const __m512i scales = _mm512_broadcastd_epi32(_mm_loadu_si32(scale));
        const __m512 first = _mm512_castsi512_ps(_mm512_slli_epi32(scales, 16));
        const __m512 second = _mm512_castsi512_ps(_mm512_and_si512(scales, upper_));
        const __m512 codes = _mm512_castsi512_ps(codes_);
        const auto table =
            __m512i(_mm512_cvtne2ps_pbh(_mm512_mul_ps(codes, second), _mm512_mul_ps(codes, first)));
        const __m512i low = _mm512_and_si512(codes_of(words), low_bits_);
        const __m512i high = _mm512_or_si512(codes_of(words + kInt4Words), next_bit_);
        values[0] = _mm512_permutexvar_epi16(low, table);
        values[1] = _mm512_permutexvar_epi16(high, table);
    }

    __m512i decode_one(const int32_t* words, bf16 scale) const {
        const __m512 factor =
            _mm512_castsi512_ps(_mm512_set1_epi32(int(uint32_t(scale.bits) << 16)));
        const auto table =
            __m256i(_mm512_cvtneps_pbh(_mm512_mul_ps(_mm512_castsi512_ps(codes_), factor)));
        return _mm512_permutexvar_epi16(_mm512_and_si512(codes_of(words), low_bits_),
                                        _mm512_castsi256_si512(table));
    }

  private:
    /// 32 words whose lower four bits are the codes of a group; bit 4 may be set. Each half takes
    /// sixteen codes, 64 bits, and each 64 bits of it four of them.
    __m512i codes_of(const int32_t* words) const {
        const auto half = [&](int i) {
            return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(words + 2 * i));
        };
        const __m512i both =
            _mm512_mask_broadcastq_epi64(_mm512_broadcastq_epi64(half(0)), 0xF0, half(1));
        return _mm512_multishift_epi64_epi8(begins_, both);
    }

    static __m512i begins() {  // of a code in its 64 bits, in the lower byte of each word
        const __m256i of_half = _mm256_setr_epi64x(0x000C'0008'0004'0000, 0x001C'0018'0014'0010,
                                                   0x002C'0028'0024'0020, 0x003C'0038'0034'0030);
        return _mm512_broadcast_i64x4(of_half);
    }

    __m512i codes_ = kept(_mm512_castps_si512(_mm512_load_ps(kInt4Values)));
    __m512i upper_ = kept(_mm512_set1_epi32(int(0xFFFF0000u)));
    __m512i low_bits_ = kept(_mm512_set1_epi16(0x0F));
    __m512i next_bit_ = kept(_mm512_set1_epi16(0x10));
    __m512i begins_ = kept(begins());
};

/// Groups of a row, each to 32 values that lie `step` values behind those of the group before.
inline void decode_int4(const Int4Decoder& decoder, const int32_t* words, const bf16* scale,
                        int64_t groups, bf16* to, int64_t step) {
    int64_t g = 0;
    for (; g + 2 <= groups; g += 2, to += 2 * step) {
        __m512i values[2];
        decoder.decode_two(words + g * kInt4Words, scale + g, values);
        _mm512_storeu_si512(to, values[0]);
        _mm512_storeu_si512(to + step, values[1]);
    }
    if (g < groups) {
        _mm512_storeu_si512(to, decoder.decode_one(words + g * kInt4Words, scale[g]));
    }
}

#elif defined(__AVX2__)

/// The lower and the upper bytes of a group's values are looked up apart.
struct Int4Decoder {
    static __m256i rounded(__m256 values) {  // to nearest even bf16, in 32 bits each
        const __m256i bits = _mm256_castps_si256(values);
        const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(bits, 16), _mm256_set1_epi32(1));
        const __m256i sum =
            _mm256_add_epi32(_mm256_add_epi32(bits, _mm256_set1_epi32(0x7FFF)), odd);
        return _mm256_srli_epi32(sum, 16);
    }

    static void decode_one(const int32_t* words, bf16 scale, bf16* to) {
        const __m256 factor =
            _mm256_castsi256_ps(_mm256_set1_epi32(int(uint32_t(scale.bits) << 16)));
        const __m256i negative = rounded(_mm256_mul_ps(_mm256_load_ps(kInt4Values), factor));
        const __m256i positive = rounded(_mm256_mul_ps(_mm256_load_ps(kInt4Values + 8), factor));
        constexpr int kInOrder = 0xD8;  // a pack leaves quarters 0, 2, 1, 3
        const __m256i table =
            _mm256_permute4x64_epi64(_mm256_packus_epi32(negative, positive), kInOrder);
        const __m256i bytes = _mm256_permute4x64_epi64(
            _mm256_packus_epi16(_mm256_and_si256(table, _mm256_set1_epi16(0xFF)),
                                _mm256_srli_epi16(table, 8)),
            kInOrder);
        const __m256i low_bytes = _mm256_permute2x128_si256(bytes, bytes, 0x00);
        const __m256i high_bytes = _mm256_permute2x128_si256(bytes, bytes, 0x11);
        const __m128i pairs = _mm_loadu_si128(reinterpret_cast<const __m128i*>(words));
        const __m128i even = _mm_and_si128(pairs, _mm_set1_epi8(15));
        const __m128i odd = _mm_and_si128(_mm_srli_epi16(pairs, 4), _mm_set1_epi8(15));
        const __m256i index =
            _mm256_set_m128i(_mm_unpackhi_epi8(even, odd), _mm_unpacklo_epi8(even, odd));
        const __m256i low = _mm256_shuffle_epi8(low_bytes, index);
        const __m256i high = _mm256_shuffle_epi8(high_bytes, index);
        const __m256i first = _mm256_unpacklo_epi8(low, high);   // values 0 – 7 and 16 – 23
        const __m256i second = _mm256_unpackhi_epi8(low, high);  // 8 – 15 and 24 – 31
        auto* out = reinterpret_cast<__m256i*>(to);
        _mm256_storeu_si256(out, _mm256_permute2x128_si256(first, second, 0x20));
        _mm256_storeu_si256(out + 1, _mm256_permute2x128_si256(first, second, 0x31));
    }
};

inline void decode_int4(const Int4Decoder&, const int32_t* words, const bf16* scale, int64_t groups,
                        bf16* to, int64_t step) {
    for (int64_t g = 0; g < groups; ++g) {
        Int4Decoder::decode_one(words + g * kInt4Words, scale[g], to + g * step);
    }
}

#else

struct Int4Decoder {};

inline void decode_int4(const Int4Decoder&, const int32_t* words, const bf16* scale, int64_t groups,
                        bf16* to, int64_t step) {
    for (int64_t g = 0; g < groups; ++g, to += step) {
        bf16 table[16];
        const float factor = widen(scale[g]);
        for (int i = 0; i < 16; ++i) narrow(kInt4Values[i] * factor, table[i]);
        for (int64_t i = 0; i < kInt4Group; ++i) {
            const auto word = uint32_t(words[g * kInt4Words + i / 8]);
            to[i] = table[word >> (4 * (i % 8)) & 15];
        }
    }
}

#endif

}  // namespace
}  // namespace hadal::ops::cpu
