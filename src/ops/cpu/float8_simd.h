// Vectors of float32 from and to codes of narrow formats.
#pragma once

#include "ops/cpu/float8.h"
#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {
namespace {

/// A format of `bits` bits below the sign, `fraction` of them fraction.
template <int bits, int fraction, int bias>
struct NarrowFormat {
    static constexpr int kBits = bits;
    static constexpr int kDropped = 23 - fraction;
    static constexpr uint32_t kMask = (1u << bits) - 1;
    static constexpr uint32_t kLeastExponent = uint32_t(128 - bias) << 23;
    // See round_to_code.
    static constexpr uint32_t kMagic =
        (uint32_t(kDropped) << 23) + ((0u - (uint32_t(128 - bias) << fraction)) & kMask);
};
using E4M3Format = NarrowFormat<7, 3, 7>;
using E5M2Format = NarrowFormat<7, 2, 15>;
using E5M6Format = NarrowFormat<11, 6, 15>;

template <class Format>
constexpr float largest_value() {
    return Format::kBits == 11 ? 65024.0f : Format::kDropped == 21 ? 57344.0f : 448.0f;
}

// Rounding to a code. Let 2^e be the power of two below |q|, at least the smallest normal number:
// the format's values there are 2^(e − fraction) apart. Adding 2^(e + 23 − fraction), whose last
// bit has just that size, rounds |q| to a multiple of it, to nearest even, and leaves the multiple
// in the low bits of the sum: 2^fraction + fraction bits for a normal number. The code is that plus
// (biased exponent − 1) · 2^fraction; the constant part of it rides in the addend's low bits.
// |q| must not exceed the format's largest value. The code's sign is that of `sign`.

#if defined(__AVX512F__)

/// Of magnitudes, without a sign.
template <class Format>
__m512i rounded_code(__m512 q) {
    const __m512i exponent =
        _mm512_max_epi32(_mm512_and_si512(_mm512_castps_si512(q), _mm512_set1_epi32(0x7F800000)),
                         _mm512_set1_epi32(int(Format::kLeastExponent)));
    const __m512i addend = _mm512_add_epi32(exponent, _mm512_set1_epi32(int(Format::kMagic)));
    const __m512 sum = _mm512_add_ps(q, _mm512_castsi512_ps(addend));
    const __m512i code =
        _mm512_add_epi32(_mm512_castps_si512(sum), _mm512_srli_epi32(exponent, Format::kDropped));
    return _mm512_and_si512(code, _mm512_set1_epi32(int(Format::kMask)));
}

template <class Format, class V>
__m512i round_to_code(V q, V sign) {
    const __m512i code = rounded_code<Format>(_mm512_abs_ps(q.v));
    const __m512i signs = _mm512_srli_epi32(_mm512_castps_si512(sign.v), 31 - Format::kBits);
    constexpr int kSelect = 0xE4;  // c ? a : b
    return _mm512_ternarylogic_epi32(code, signs, _mm512_set1_epi32(int(Format::kMask)), kSelect);
}

template <class Format, class V>
void store_codes(uint8_t* to, V q, V sign, Whole) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to),
                     _mm512_cvtepi32_epi8(round_to_code<Format>(q, sign)));
}
template <class Format, class V>
void store_codes(uint8_t* to, V q, V sign, Part part) {
    _mm_mask_storeu_epi8(to, V::mask(part), _mm512_cvtepi32_epi8(round_to_code<Format>(q, sign)));
}
template <class Format, class V>
void store_codes(uint16_t* to, V q, V sign, Whole) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to),
                        _mm512_cvtepi32_epi16(round_to_code<Format>(q, sign)));
}
template <class Format, class V>
void store_codes(uint16_t* to, V q, V sign, Part part) {
    _mm256_mask_storeu_epi16(to, V::mask(part),
                             _mm512_cvtepi32_epi16(round_to_code<Format>(q, sign)));
}

/// Through binary16: E5M2 is its upper byte; the bits of an E4M3, one place lower, are 2⁻⁸ of it,
/// subnormals too.
template <Code code, class V>
V load_codes(const uint8_t* from, Whole) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(from));
    const __m256i words = _mm256_slli_epi16(_mm256_cvtepu8_epi16(bytes), 8);
    if constexpr (code == Code::e5m2) return {_mm512_cvtph_ps(words)};
    __m256i half = _mm256_and_si256(_mm256_srai_epi16(words, 1), _mm256_set1_epi16(short(0xBFFF)));
    const __mmask16 nan = _mm256_cmpeq_epi16_mask(_mm256_and_si256(half, _mm256_set1_epi16(0x7FFF)),
                                                  _mm256_set1_epi16(0x3F80));
    half = _mm256_mask_mov_epi16(half, nan, _mm256_set1_epi16(0x7E00));
    return {_mm512_mul_ps(_mm512_cvtph_ps(half), _mm512_set1_ps(256))};
}

#elif defined(__AVX2__)

template <class Format, class V>
__m256i round_to_code(V q, V sign) {
    const __m256i bits = _mm256_castps_si256(q.v);
    const __m256i exponent = _mm256_max_epi32(_mm256_and_si256(bits, _mm256_set1_epi32(0x7F800000)),
                                              _mm256_set1_epi32(int(Format::kLeastExponent)));
    const __m256i addend = _mm256_add_epi32(exponent, _mm256_set1_epi32(int(Format::kMagic)));
    const __m256 magnitude =
        _mm256_castsi256_ps(_mm256_and_si256(bits, _mm256_set1_epi32(0x7FFFFFFF)));
    const __m256 sum = _mm256_add_ps(magnitude, _mm256_castsi256_ps(addend));
    const __m256i code =
        _mm256_add_epi32(_mm256_castps_si256(sum), _mm256_srli_epi32(exponent, Format::kDropped));
    const __m256i signs =
        _mm256_slli_epi32(_mm256_srli_epi32(_mm256_castps_si256(sign.v), 31), Format::kBits);
    return _mm256_or_si256(_mm256_and_si256(code, _mm256_set1_epi32(int(Format::kMask))), signs);
}

template <class Format, class V>
__m128i round_to_words(V q, V sign) {
    const __m256i codes = round_to_code<Format>(q, sign);
    return _mm_packus_epi32(_mm256_castsi256_si128(codes), _mm256_extracti128_si256(codes, 1));
}

template <class Format, class V>
void store_codes(uint8_t* to, V q, V sign, Whole) {
    const __m128i words = round_to_words<Format>(q, sign);
    _mm_storel_epi64(reinterpret_cast<__m128i*>(to), _mm_packus_epi16(words, words));
}
template <class Format, class V>
void store_codes(uint16_t* to, V q, V sign, Whole) {
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), round_to_words<Format>(q, sign));
}

template <Code code, class V>
V load_codes(const uint8_t* from, Whole) {
    if constexpr (code == Code::e4m3) {
        const __m128i codes = _mm_loadl_epi64(reinterpret_cast<const __m128i*>(from));
        return V::widen(_mm256_castsi256_si128(decode_e4m3(codes)));
    }
    alignas(16) uint16_t words[8];
    for (int i = 0; i < 8; ++i) words[i] = kE5M2Table[from[i]];
    return V::widen(_mm_load_si128(reinterpret_cast<const __m128i*>(words)));
}

#else

template <class Format, class V>
typename V::Bits round_to_code(V q, V sign) {
    using Bits = typename V::Bits;
    const Bits bits = (Bits)q.v;
    Bits exponent = bits & 0x7F800000u;
    for (int i = 0; i < V::kLanes; ++i) {
        exponent[i] = exponent[i] > Format::kLeastExponent ? exponent[i] : Format::kLeastExponent;
    }
    const Bits magnitude = bits & 0x7FFFFFFFu;
    const Bits sum =
        (Bits)((typename V::Lanes)magnitude + (typename V::Lanes)(exponent + Format::kMagic));
    const Bits code = sum + (exponent >> Format::kDropped);
    return (code & Format::kMask) | ((Bits)sign.v >> 31 << Format::kBits);
}

template <class Format, class Word, class V>
void store_codes(Word* to, V q, V sign, Whole) {
    const auto codes = round_to_code<Format>(q, sign);
    for (int i = 0; i < V::kLanes; ++i) to[i] = Word(codes[i]);
}

template <Code code, class V>
V load_codes(const uint8_t* from, Whole) {
    constexpr const DecodeTable& kTable = code == Code::e4m3 ? kE4M3Table : kE5M2Table;
    V values;
    for (int i = 0; i < V::kLanes; ++i) {
        values.v[i] = __builtin_bit_cast(float, uint32_t(kTable[from[i]]) << 16);
    }
    return values;
}

#endif

#if !defined(__AVX512F__)
template <class Format, class Word, class V>
void store_codes(Word* to, V q, V sign, Part part) {
    Word lanes[V::kLanes];
    store_codes<Format>(lanes, q, sign, Whole{});
    for (int64_t i = 0; i < part.count; ++i) to[i] = lanes[i];
}
#endif
template <Code code, class V>
V load_codes(const uint8_t* from, Part part) {
    uint8_t lanes[V::kLanes] = {};
    for (int64_t i = 0; i < part.count; ++i) lanes[i] = from[i];
    return load_codes<code, V>(lanes, Whole{});
}

}  // namespace
}  // namespace hadal::ops::cpu
