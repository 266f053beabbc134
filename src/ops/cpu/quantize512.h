// The quantisers' common cases 64 values at a time, on AVX-512 with byte permutations. They do what
// is usual and tell where something else is wanted: the loops of quantize.cpp do that.
//
// bf16 to codes. A code is the quotient x / scale, rounded. Of x, it depends on seven bits of
// fraction and, by addition, on the exponent; the fraction of a scale amax / largest depends on
// seven bits of amax alone. So tables of 128 bytes, one for each fraction of amax, hold all
// quotients there are, divided and rounded by the compiler.
//
// Codes in tiles of a row to codes in tiles of a column: magnitudes in float32 stay in the
// first-level cache between the search for the largest and the division; signs are those of the
// codes.
#pragma once

#if defined(__AVX512VBMI__)

#include <immintrin.h>

#include "ops/cpu/float8_simd.h"
#include "ops/cpu/quantize.h"
#include "ops/cpu/scale_rule.h"

namespace hadal::ops::cpu {
namespace {

inline __mmask32 first_words(int64_t count) {
    return count >= 32 ? ~0u : (1u << (count < 0 ? 0 : count)) - 1;
}
inline __mmask64 first_codes(int64_t count) {
    return count >= 64 ? ~0ull : (1ull << count) - 1;
}

inline uint16_t largest_word(__m512i words) {
    const __m256i half =
        _mm256_max_epu16(_mm512_castsi512_si256(words), _mm512_extracti64x4_epi64(words, 1));
    const __m128i eight =
        _mm_max_epu16(_mm256_castsi256_si128(half), _mm256_extracti128_si256(half, 1));
    const __m128i least = _mm_minpos_epu16(_mm_xor_si128(eight, _mm_set1_epi16(-1)));
    return uint16_t(~_mm_cvtsi128_si32(least));
}

/// Bits of the largest magnitude, as integers: NaN is above infinity, and that above all numbers.
inline uint16_t largest_bits(const bf16* x, int64_t stride, int64_t rows, int64_t columns) {
    const __m512i magnitude = _mm512_set1_epi16(0x7FFF);
    __m512i largest[2] = {};
    for (int64_t i = 0; i < rows; ++i, x += stride) {
        int64_t j = 0;
        for (; j + 64 <= columns; j += 64) {
            for (int h = 0; h < 2; ++h) {
                const __m512i bits = _mm512_loadu_si512(x + j + 32 * h);
                largest[h] = _mm512_max_epu16(largest[h], _mm512_and_si512(bits, magnitude));
            }
        }
        for (; j < columns; j += 32) {
            const __m512i bits = _mm512_maskz_loadu_epi16(first_words(columns - j), x + j);
            largest[0] = _mm512_max_epu16(largest[0], _mm512_and_si512(bits, magnitude));
        }
    }
    return largest_word(_mm512_max_epu16(largest[0], largest[1]));
}

/// Rounded quotients by the fractions of amax and x. What is entered is the code for equal
/// exponents of x and scale, less the upper bits of x's fraction.
template <class Format>
struct QuotientTables {
    static constexpr int kFraction = 23 - Format::kDropped;
    static constexpr int kShift = 7 - kFraction;  // from a bf16's exponent to the code's
    static constexpr uint32_t kBias = 128 - (Format::kLeastExponent >> 23);
    alignas(64) uint8_t of_amax[128][128] = {};
    uint8_t of_power_of_two[128] = {};

    constexpr QuotientTables() {
        for (uint32_t i = 0; i < 128; ++i) {
            const float scale = fraction_of((1 + float(i) / 128) / largest_value<Format>());
            for (uint32_t j = 0; j < 128; ++j) {
                of_amax[i][j] = entry(j, scale);
                of_power_of_two[j] = entry(j, 1);
            }
        }
    }

  private:
    static constexpr float fraction_of(float x) {
        const uint32_t fraction = __builtin_bit_cast(uint32_t, x) & 0x007FFFFFu;
        return __builtin_bit_cast(float, fraction | 0x3F800000u);
    }
    static constexpr uint8_t entry(uint32_t fraction, float scale) {
        const float quotient = (1 + float(fraction) / 128) / scale;
        const uint32_t bits = __builtin_bit_cast(uint32_t, quotient);
        const uint32_t half = (1u << (Format::kDropped - 1)) - 1;
        const uint32_t rounded =
            (bits + half + (bits >> Format::kDropped & 1u)) >> Format::kDropped;
        return uint8_t(rounded - (fraction >> kShift) - ((127 - kBias) << kFraction));
    }
};

/// Codes of bf16 values of one tile.
template <class Format>
class Quotients512 {
    using Tables = QuotientTables<Format>;
    static constexpr Tables kTables{};

  public:
    Quotients512() = default;
    Quotients512(uint16_t amax, float scale, bool power_of_two) {
        const uint32_t exponent = __builtin_bit_cast(uint32_t, scale) >> 23;
        const __m512i shift = _mm512_set1_epi8(char(uint8_t(0u - (exponent << Tables::kFraction))));
        const uint8_t* table = power_of_two ? kTables.of_power_of_two : kTables.of_amax[amax & 127];
        for (int i = 0; i < 2; ++i) {
            table_[i] = _mm512_add_epi8(_mm512_load_si512(table + 64 * i), shift);
        }
        // The least bf16 whose quotient is a normal number.
        const uint32_t least = __builtin_bit_cast(uint32_t, scale) - ((Tables::kBias - 1) << 23);
        least_ = _mm512_set1_epi16(short((least + 0xFFFFu) >> 16));
    }

    /// Codes of up to 64 values. False if one of them is too small for that, nothing written.
    bool write(const bf16* x, int64_t n, uint8_t* to) const {
        const __mmask32 lanes[2] = {first_words(n), first_words(n - 32)};
        const __m512i x0 = _mm512_maskz_loadu_epi16(lanes[0], x);
        const __m512i x1 = _mm512_maskz_loadu_epi16(lanes[1], x + 32);
        if (is_small(lanes[0], x0) || is_small(lanes[1], x1)) return false;
        _mm512_mask_storeu_epi8(to, first_codes(n), codes_of(x0, x1));
        return true;
    }
    bool write_64(const bf16* x, uint8_t* to) const {
        const __m512i x0 = _mm512_loadu_si512(x), x1 = _mm512_loadu_si512(x + 32);
        if (is_small(~0u, x0) || is_small(~0u, x1)) return false;
        _mm512_storeu_si512(to, codes_of(x0, x1));
        return true;
    }

    /// Codes of 128 values in registers, whose least magnitudes are given.
    bool write_128(const __m512i (&x)[4], __m512i least, uint8_t* to) const {
        if (_mm512_cmplt_epu16_mask(least, least_) != 0) return false;
        _mm512_storeu_si512(to, codes_of(x[0], x[1]));
        _mm512_storeu_si512(to + 64, codes_of(x[2], x[3]));
        return true;
    }

  private:
    bool is_small(__mmask32 lanes, __m512i x) const {
        const __m512i magnitude = _mm512_and_si512(x, _mm512_set1_epi16(0x7FFF));
        return _mm512_mask_cmplt_epu16_mask(lanes, magnitude, least_) != 0;
    }

    __m512i codes_of(__m512i x0, __m512i x1) const {
        alignas(64) static constexpr auto kEven = [] {
            Bytes order;
            for (int i = 0; i < 64; ++i) order.at[i] = uint8_t(2 * i);
            return order;
        }();
        const __m512i even = _mm512_load_si512(kEven.at);
        const __m512i odd = _mm512_add_epi8(even, _mm512_set1_epi8(1));
        const __m512i low = _mm512_permutex2var_epi8(x0, even, x1);
        const __m512i high = _mm512_permutex2var_epi8(x0, odd, x1);
        constexpr int kSelect = 0xE4;  // c ? a : b
        constexpr int kUp = 8 - Tables::kShift;
        const __m512i exponents = _mm512_ternarylogic_epi64(
            _mm512_slli_epi16(high, kUp), _mm512_srli_epi16(low, Tables::kShift),
            _mm512_set1_epi8(char(0xFF << kUp)), kSelect);
        const __m512i code =
            _mm512_add_epi8(exponents, _mm512_permutex2var_epi8(table_[0], low, table_[1]));
        return _mm512_ternarylogic_epi64(code, high, _mm512_set1_epi8(0x7F), kSelect);
    }

    struct Bytes {
        uint8_t at[64] = {};
    };
    __m512i table_[2];
    __m512i least_;
};

/// A tile of 128 values in a row, the report's. False if something is unusual or small, nothing
/// written.
template <class Format>
__attribute__((always_inline)) inline bool write_row_tile_128(const bf16* from,
                                                              const ScaleRule& rule, uint8_t* to,
                                                              float* scale) {
    const __m512i magnitude = _mm512_set1_epi16(0x7FFF);
    __m512i x[4], bits[4];
#pragma GCC unroll 4
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm512_loadu_si512(from + 32 * i);
        bits[i] = _mm512_and_si512(x[i], magnitude);
    }
    const uint16_t amax = largest_word(
        _mm512_max_epu16(_mm512_max_epu16(bits[0], bits[1]), _mm512_max_epu16(bits[2], bits[3])));
    constexpr uint32_t kFirst = __builtin_bit_cast(uint32_t, kTiny) >> 16;
    constexpr uint32_t kLast = __builtin_bit_cast(uint32_t, kHuge) >> 16;
    if (uint32_t(amax) - kFirst > kLast - kFirst) return false;
    const float of_tile = scale_of(__builtin_bit_cast(float, uint32_t(amax) << 16), rule);
    const __m512i least =
        _mm512_min_epu16(_mm512_min_epu16(bits[0], bits[1]), _mm512_min_epu16(bits[2], bits[3]));
    const Quotients512<Format> quotients(amax, of_tile, rule.power_of_two);
    if (!quotients.write_128(x, least, to)) return false;
    *scale = of_tile;
    return true;
}

/// 32 values to E5M6 codes, two in three bytes: 48 bytes. One bit of the fraction goes; the scale,
/// a power of two, is subtracted. False if a value is too small for that, nothing written.
inline bool pack_e5m6_32(const bf16* x, float scale, uint8_t* to) {
    constexpr uint32_t kBias = 15, kFraction = 6;
    const uint32_t exponent = __builtin_bit_cast(uint32_t, scale) >> 23;
    const __m512i bits = _mm512_loadu_si512(x);
    const __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi16(0x7FFF));
    const __m512i least = _mm512_set1_epi16(short((exponent + 1 - kBias) << 7));
    if (_mm512_cmplt_epu16_mask(magnitude, least) != 0) return false;
    const __m512i cut = _mm512_srli_epi16(magnitude, 1);
    const __m512i rounded = _mm512_srli_epi16(
        _mm512_add_epi16(magnitude, _mm512_and_si512(cut, _mm512_set1_epi16(1))), 1);
    const __m512i offset = _mm512_set1_epi16(short((exponent - kBias) << kFraction));
    constexpr int kSelect = 0xE4;  // c ? a : b
    const __m512i codes =
        _mm512_ternarylogic_epi64(_mm512_sub_epi16(rounded, offset), _mm512_srli_epi16(bits, 4),
                                  _mm512_set1_epi16(0x7FF), kSelect);
    const __m512i pairs = _mm512_madd_epi16(_mm512_and_si512(codes, _mm512_set1_epi16(0xFFF)),
                                            _mm512_set1_epi32(0x10000001));
    alignas(64) static constexpr auto kOrder = [] {
        struct {
            uint8_t at[64] = {};
        } order;
        for (int i = 0; i < 48; ++i) order.at[i] = uint8_t(i / 3 * 4 + i % 3);
        return order;
    }();
    _mm512_mask_storeu_epi8(to, (1ull << 48) - 1,
                            _mm512_permutexvar_epi8(_mm512_load_si512(kOrder.at), pairs));
    return true;
}

/// From tiles of one row to tiles of one column: see CodeColumns.
template <class Format>
class ColumnRequantizer512 {
  public:
    ColumnRequantizer512(const CodeColumns& part, const ScaleRule& rule, float* values)
        : part_(part),
          rule_(rule),
          values_(values),
          codes_(reinterpret_cast<std::byte*>(values + part.rows * 64)),
          columns_(first_codes(part.columns)) {}

    /// False if a scale or a value is unusual, nothing written.
    bool run(float* scale) const {
        __m512 scales[4] = {};
        if (!magnitudes(scales) || !scales_of(scales)) return false;
        for (int j = 0; j < 4; ++j) {
            _mm512_mask_storeu_ps(scale + 16 * j, __mmask16(columns_ >> 16 * j), scales[j]);
        }
        write(scales);
        return true;
    }

  private:
    /// Fills values_, and the largest of each column. Magnitudes of 64 columns in the order that
    /// unpacking gives: within a lane of 128 bits four columns after four.
    bool magnitudes(__m512 (&largest)[4]) const {
        const bool e4m3 = part_.code == Code::e4m3;
        const Decoder512 decoder(e4m3 ? kE4M3Table : kE5M2Table);
        const __m512i magnitude = _mm512_set1_epi8(0x7F);
        __m512i largest_code = _mm512_setzero_si512();
        constexpr uint32_t kLeastScale = __builtin_bit_cast(uint32_t, 0x1p-100f);
        constexpr uint32_t kMostScale = __builtin_bit_cast(uint32_t, 0x1p100f);
        uint32_t most_above = 0;
        // Rows far apart fall on few sets of the first-level cache, so that fewer may wait there;
        // and no other row's store has brought the line that a store goes to.
        const bool is_far = part_.codes_stride > 1024 || part_.to_stride > 1024;
        const int64_t ahead = part_.codes_stride * (is_far ? 8 : 32);
        const uint8_t* codes = part_.codes;
        const float* row_scale = part_.row_scale;
        float* to = values_;
        std::byte* copy = codes_;
        for (int64_t i = 0; i < part_.rows; ++i, to += 64, copy += 64) {
            const __m512i with_sign = _mm512_maskz_loadu_epi8(columns_, codes);
            _mm_prefetch(codes + 64, _MM_HINT_T1);  // the next columns
            _mm_prefetch(codes + ahead, _MM_HINT_T0);
            if (is_far) __builtin_prefetch(part_.to + i * part_.to_stride, 1, 3);
            _mm512_store_si512(copy, with_sign);
            const __m512i some = _mm512_and_si512(with_sign, magnitude);
            largest_code = _mm512_max_epu8(largest_code, some);
            const __m512 factor = _mm512_set1_ps(*row_scale);
            const uint32_t above = __builtin_bit_cast(uint32_t, *row_scale) - kLeastScale;
            most_above = above > most_above ? above : most_above;
            __m512i words[2];
            decoder.decode_lanes(some, words[0], words[1]);
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                const __m512i zero = _mm512_setzero_si512();
                const __m512i wide = j % 2 == 0 ? _mm512_unpacklo_epi16(zero, words[j / 2])
                                                : _mm512_unpackhi_epi16(zero, words[j / 2]);
                const __m512 value = _mm512_mul_ps(_mm512_castsi512_ps(wide), factor);
                largest[j] = _mm512_max_ps(largest[j], value);
                _mm512_store_ps(to + 16 * j, value);
            }
            codes += part_.codes_stride;
            row_scale += part_.row_scale_stride;
        }
        const __mmask64 special =
            _mm512_cmpgt_epu8_mask(largest_code, _mm512_set1_epi8(e4m3 ? 0x7E : 0x7B));
        return special == 0 && most_above <= kMostScale - kLeastScale;
    }

    /// From largest magnitudes, in the order of values_, to scales; what is left there is their
    /// order by columns.
    bool scales_of(__m512 (&largest)[4]) const {
        bool usual = true;
        for (__m512& x : largest) {
            const __mmask16 zero = _mm512_cmp_ps_mask(x, _mm512_setzero_ps(), _CMP_EQ_OQ);
            const __mmask16 inside = _mm512_cmp_ps_mask(x, _mm512_set1_ps(kTiny), _CMP_GE_OQ) &
                                     _mm512_cmp_ps_mask(x, _mm512_set1_ps(kHuge), _CMP_LE_OQ);
            usual = usual && __mmask16(zero | inside) == 0xFFFF;
            __m512i scale = _mm512_castps_si512(_mm512_div_ps(x, _mm512_set1_ps(rule_.largest)));
            if (rule_.power_of_two) {
                scale = _mm512_and_si512(_mm512_add_epi32(scale, _mm512_set1_epi32(0x007FFFFF)),
                                         _mm512_set1_epi32(0x7F800000));
            }
            x = _mm512_mask_mov_ps(_mm512_castsi512_ps(scale), zero, _mm512_set1_ps(1));
        }
        exchange_lanes(largest);
        return usual;
    }

    /// Between [four columns][lane] and [lane][four columns], either way.
    static void exchange_lanes(__m512 (&x)[4]) {
        const __m512 a = _mm512_shuffle_f32x4(x[0], x[1], 0x44);
        const __m512 b = _mm512_shuffle_f32x4(x[0], x[1], 0xEE);
        const __m512 c = _mm512_shuffle_f32x4(x[2], x[3], 0x44);
        const __m512 d = _mm512_shuffle_f32x4(x[2], x[3], 0xEE);
        x[0] = _mm512_shuffle_f32x4(a, c, 0x88);
        x[1] = _mm512_shuffle_f32x4(a, c, 0xDD);
        x[2] = _mm512_shuffle_f32x4(b, d, 0x88);
        x[3] = _mm512_shuffle_f32x4(b, d, 0xDD);
    }

    void write(const __m512 (&by_column)[4]) const {
        __m512 scales[4], reciprocals[4];
        for (int j = 0; j < 4; ++j) scales[j] = by_column[j];
        exchange_lanes(scales);
        for (int j = 0; j < 4; ++j) {
            reciprocals[j] = _mm512_div_ps(_mm512_set1_ps(1), scales[j]);
        }
        const std::byte* codes = codes_;
        const float* values = values_;
        uint8_t* to = part_.to;
        for (int64_t i = 0; i < part_.rows; ++i, values += 64, codes += 64) {
            __m512i words[4];
#pragma GCC unroll 4
            for (int j = 0; j < 4; ++j) {
                const __m512 x = _mm512_load_ps(values + 16 * j);
                const __m512 q = _mm512_mul_ps(x, reciprocals[j]);
                const __m512 rest = _mm512_fnmadd_ps(q, scales[j], x);
                words[j] = rounded_code<Format>(_mm512_fmadd_ps(rest, reciprocals[j], q));
            }
            const __m512i bytes = _mm512_packus_epi16(_mm512_packus_epi32(words[0], words[1]),
                                                      _mm512_packus_epi32(words[2], words[3]));
            const __m512i sign = _mm512_load_si512(codes);
            constexpr int kSelect = 0xE4;  // c ? a : b
            _mm512_mask_storeu_epi8(
                to, columns_,
                _mm512_ternarylogic_epi64(bytes, sign, _mm512_set1_epi8(0x7F), kSelect));
            to += part_.to_stride;
        }
    }

    const CodeColumns& part_;
    const ScaleRule& rule_;
    float* values_;  // [rows, 64], aligned to 64 bytes
    // [rows, 64] behind them: where rows lie a power of two apart, codes are read once, before
    // stores to addresses that differ from theirs in upper bits only hold up the loads.
    std::byte* codes_;
    __mmask64 columns_;
};

}  // namespace
}  // namespace hadal::ops::cpu

#endif
