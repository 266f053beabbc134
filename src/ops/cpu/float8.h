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
///
/// Of normal numbers they are also sums of bits of the code, without carries: the exponent's offset
/// is 2^b − 2^a, which turns the upper bit of an exponent into itself and the bits between into its
/// opposite. `*_rows` hold which bits of the code make up each bit of a byte, as the instruction
/// that multiplies bytes with a matrix of bits wants them; `inverted` are those of the upper byte
/// that are turned over.
struct DecodeTable {
    alignas(64) uint8_t low[128] = {};
    uint8_t high[128] = {};
    uint64_t low_rows = 0;
    uint64_t high_rows = 0;
    uint8_t inverted = 0;
    uint8_t least_normal = 0;
    uint8_t most_normal = 0;

    constexpr explicit DecodeTable(Code code) {
        for (int i = 0; i < 128; ++i) {
            low[i] = uint8_t(decoded_magnitude(code, i));
            high[i] = uint8_t(decoded_magnitude(code, i) >> 8);
        }
        const int fraction = code == Code::e4m3 ? 3 : 2;
        least_normal = uint8_t(1 << fraction);
        most_normal = code == Code::e4m3 ? 0x7E : 0x7B;
        // Bits of the code to bits of a bf16: fraction, lower exponent, its upper bit, sign.
        for (int i = 0; i < 6; ++i) copy_bit(i, 7 - fraction + i);
        for (int to = 13 - fraction; to < 14; ++to) {
            copy_bit(6, to);
            inverted = uint8_t(inverted | 1 << (to - 8));
        }
        copy_bit(6, 14);
        copy_bit(7, 15);
    }
    constexpr uint16_t operator[](uint8_t code) const {
        return uint16_t(low[code & 0x7F] | (high[code & 0x7F] | (code & 0x80)) << 8);
    }

  private:
    constexpr void copy_bit(int from, int to) {
        uint64_t& rows = to < 8 ? low_rows : high_rows;
        rows |= uint64_t(1) << from << 8 * (7 - to % 8);
    }
};

constexpr DecodeTable kE4M3Table{Code::e4m3};
constexpr DecodeTable kE5M2Table{Code::e5m2};

#if defined(__AVX512VBMI__)

/// 64 codes at a time. Where all are normal numbers, two products with matrices of bits give both
/// bytes of each value; other codes, rare in weights and activations, are looked up.
class Decoder512 {
  public:
    explicit Decoder512(const DecodeTable& table)
        : table_(&table),
          low_rows_(_mm512_set1_epi64(int64_t(table.low_rows))),
          high_rows_(_mm512_set1_epi64(int64_t(table.high_rows))),
          inverted_(_mm512_set1_epi8(char(table.inverted))),
          least_(_mm512_set1_epi8(char(-2 * table.least_normal))),
          normals_(_mm512_set1_epi8(char(2 * (table.most_normal - table.least_normal)))) {}

    /// `first` receives the values of codes 0 … 31.
    void decode(__m512i codes, __m512i& first, __m512i& second) const {
        const __m512i order = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);  // for the unpacking
        decode_lanes(_mm512_permutexvar_epi64(order, codes), first, second);
    }

    /// Within each 128-bit lane, `first` receives the lower eight values and `second` the upper.
    void decode_lanes(__m512i codes, __m512i& first, __m512i& second) const {
        // Doubled, a code has lost its sign; less than the least is more than the most.
        const __m512i above = _mm512_add_epi8(_mm512_add_epi8(codes, codes), least_);
        __m512i low = _mm512_gf2p8affine_epi64_epi8(codes, low_rows_, 0);
        __m512i high =
            _mm512_xor_si512(_mm512_gf2p8affine_epi64_epi8(codes, high_rows_, 0), inverted_);
        if (_mm512_cmpgt_epu8_mask(above, normals_) != 0) [[unlikely]] {
            const Bytes found = look_up(*table_, codes);
            low = found.low;
            high = found.high;
        }
        first = _mm512_unpacklo_epi8(low, high);
        second = _mm512_unpackhi_epi8(low, high);
    }

  private:
    struct Bytes {
        __m512i low;
        __m512i high;
    };
    [[gnu::noinline, gnu::cold]] static Bytes look_up(const DecodeTable& table, __m512i codes) {
        const auto of = [&](const uint8_t* bytes) {
            return _mm512_permutex2var_epi8(_mm512_load_si512(bytes), codes,
                                            _mm512_load_si512(bytes + 64));
        };
        constexpr int kOrAnd = 0xF8;  // a | (b & c)
        return {of(table.low), _mm512_ternarylogic_epi64(of(table.high), codes,
                                                         _mm512_set1_epi8(char(0x80)), kOrAnd)};
    }

    const DecodeTable* table_;
    __m512i low_rows_;
    __m512i high_rows_;
    __m512i inverted_;
    __m512i least_;
    __m512i normals_;
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
        decoder.decode(_mm512_loadu_si512(codes + i), values[0], values[1]);
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
