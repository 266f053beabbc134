// Codes of narrow formats to bf16, which holds every E4M3 and E5M2 value exactly (their subnormals
// are normal numbers there, so that no product unit flushes them).
#pragma once

#include <cstddef>
#include <cstdint>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

enum class Code : uint8_t { bf16, e4m3, e5m2 };

namespace {

/// Bits of the bf16 of a code without its sign.
constexpr uint16_t decoded_magnitude(Code code, int magnitude) {
    const int fraction_bits = code == Code::e4m3 ? 3 : 2;
    const int bias = code == Code::e4m3 ? 7 : 15;
    const int exponent = magnitude >> fraction_bits;
    int fraction = magnitude & ((1 << fraction_bits) - 1);
    if (code == Code::e4m3 && magnitude == 127) return 0x7FC0;
    if (code == Code::e5m2 && exponent == 31) return uint16_t(fraction == 0 ? 0x7F80 : 0x7FC0);
    if (magnitude == 0) return 0;
    int wide = exponent == 0 ? 1 - bias : exponent - bias;
    if (exponent > 0) {
        fraction |= 1 << fraction_bits;
    } else {
        while (fraction >> fraction_bits == 0) {
            fraction <<= 1;
            --wide;
        }
    }
    fraction &= (1 << fraction_bits) - 1;
    return uint16_t((wide + 127) << 7 | fraction << (7 - fraction_bits));
}

/// The two bytes of each magnitude's value, apart.
struct DecodeTable {
    alignas(64) uint8_t low[128] = {};
    uint8_t high[128] = {};

    constexpr explicit DecodeTable(Code code) {
        for (int i = 0; i < 128; ++i) {
            low[i] = uint8_t(decoded_magnitude(code, i));
            high[i] = uint8_t(decoded_magnitude(code, i) >> 8);
        }
    }
    constexpr uint16_t operator[](uint8_t code) const {
        return uint16_t(low[code & 0x7F] | (high[code & 0x7F] | (code & 0x80)) << 8);
    }
};

constexpr DecodeTable kE4M3Table{Code::e4m3};
constexpr DecodeTable kE5M2Table{Code::e5m2};

#if defined(__AVX512VBMI__)

/// 64 codes at a time: the lower and the upper byte of each value are looked up in a table of 128
/// bytes, two registers. The lookups ignore the sign, which is put back.
class Decoder512 {
  public:
    explicit Decoder512(const DecodeTable& table) {
        for (int i = 0; i < 2; ++i) {
            low_[i] = _mm512_load_si512(table.low + 64 * i);
            high_[i] = _mm512_load_si512(table.high + 64 * i);
        }
    }

    /// values[0] receives the values of codes 0 … 31.
    void decode(__m512i codes, __m512i (&values)[2]) const {
        const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);  // for the unpacking
        decode_lanes(_mm512_permutexvar_epi64(order, codes), values[0], values[1]);
    }

    /// Within each 128-bit lane, `first` receives the lower eight values and `second` the upper.
    void decode_lanes(__m512i codes, __m512i& first, __m512i& second) const {
        const __m512i low = _mm512_permutex2var_epi8(low_[0], codes, low_[1]);
        __m512i high = _mm512_permutex2var_epi8(high_[0], codes, high_[1]);
        constexpr int kOrAnd = 0xF8;  // a | (b & c)
        high = _mm512_ternarylogic_epi64(high, codes, _mm512_set1_epi8(char(0x80)), kOrAnd);
        first = _mm512_unpacklo_epi8(low, high);
        second = _mm512_unpackhi_epi8(low, high);
    }

  private:
    __m512i low_[2];
    __m512i high_[2];
};

#endif

#if defined(__AVX2__) && !defined(__AVX512VBMI__)

/// Sixteen E4M3 codes. Of a normal number the exponent's offset is added in place; the eight
/// magnitudes below are looked up.
inline __m256i decode_e4m3(__m128i codes) {
    const __m256i words = _mm256_cvtepu8_epi16(codes);
    const __m256i magnitude = _mm256_and_si256(words, _mm256_set1_epi16(0x7F));
    const __m256i normal =
        _mm256_add_epi16(_mm256_slli_epi16(magnitude, 4), _mm256_set1_epi16(0x3C00));
    const __m256i small = _mm256_broadcastsi128_si256(
        _mm_setr_epi16(0, decoded_magnitude(Code::e4m3, 1), decoded_magnitude(Code::e4m3, 2),
                       decoded_magnitude(Code::e4m3, 3), decoded_magnitude(Code::e4m3, 4),
                       decoded_magnitude(Code::e4m3, 5), decoded_magnitude(Code::e4m3, 6),
                       decoded_magnitude(Code::e4m3, 7)));
    const __m256i places = _mm256_add_epi16(
        _mm256_mullo_epi16(magnitude, _mm256_set1_epi16(0x0202)), _mm256_set1_epi16(0x0100));
    const __m256i is_small = _mm256_cmpgt_epi16(_mm256_set1_epi16(8), magnitude);
    const __m256i is_nan = _mm256_cmpeq_epi16(magnitude, _mm256_set1_epi16(0x7F));
    __m256i value = _mm256_blendv_epi8(normal, _mm256_shuffle_epi8(small, places), is_small);
    value = _mm256_blendv_epi8(value, _mm256_set1_epi16(0x7FC0), is_nan);
    const __m256i sign =
        _mm256_and_si256(_mm256_slli_epi16(words, 8), _mm256_set1_epi16(short(0x8000)));
    return _mm256_or_si256(value, sign);
}

#endif

/// n values of a row to bf16. `from` points to codes, or to bf16 values that are copied.
[[maybe_unused]] inline void decode_row(Code code, const void* from, int64_t n, bf16* to) {
    if (code == Code::bf16) {
        __builtin_memcpy(to, from, size_t(n) * sizeof(bf16));
        return;
    }
    const auto* codes = static_cast<const uint8_t*>(from);
    const DecodeTable& table = code == Code::e4m3 ? kE4M3Table : kE5M2Table;
    int64_t i = 0;
#if defined(__AVX512VBMI__)
    const Decoder512 decoder(table);
    for (; i + 64 <= n; i += 64) {
        __m512i values[2];
        decoder.decode(_mm512_loadu_si512(codes + i), values);
        _mm512_storeu_si512(to + i, values[0]);
        _mm512_storeu_si512(to + i + 32, values[1]);
    }
#elif defined(__AVX2__)
    for (; code == Code::e4m3 && i + 16 <= n; i += 16) {
        const __m128i some = _mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i));
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(to + i), decode_e4m3(some));
    }
#endif
    for (; i < n; ++i) to[i].bits = table[codes[i]];
}

}  // namespace
}  // namespace hadal::ops::cpu
