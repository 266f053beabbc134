// float32 ↔ float8, one value at a time.
// E4M3 ("fn"): sign, 4 exponent bits (bias 7), 3 fraction bits; no infinities, NaN is 0x7F and
// 0xFF, largest 448, smallest 2⁻⁹. The one format of V3's weights and activations (report §3.3.2).
// E5M2: 5 exponent bits (bias 15), 2 fraction bits, the upper byte of an IEEE binary16, largest
// 57344. Other recipes' gradients; here for comparison.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "core/dtype.h"
#include "formats/bfloat16.h"

namespace hadal {

inline constexpr float kLargestF8 = 448;
inline constexpr float kLargestE5M2 = 57344;

/// The value of each of the 256 codes.
inline constexpr std::array<float, 256> kF8Values = [] {
    std::array<float, 256> values{};
    for (int code = 0; code < 256; ++code) {
        const int exponent = (code >> 3) & 15;
        const int fraction = code & 7;
        float value = float(exponent == 0 ? fraction : 8 + fraction) * 0x1.0p-9f;
        for (int i = 1; i < exponent; ++i) value *= 2;
        if ((code & 0x7F) == 0x7F) value = std::numeric_limits<float>::quiet_NaN();
        values[size_t(code)] = (code & 0x80) != 0 ? -value : value;
    }
    return values;
}();

constexpr float to_float(f8_e4m3 value) {
    return kF8Values[value.bits];
}

/// The magnitude of a float32 as the code of a narrower format with this many fraction bits,
/// rounded to nearest, ties to even; it must not exceed the format's largest value.
template <int fraction_bits, int bias>
constexpr uint32_t narrow_magnitude(uint32_t magnitude) {
    constexpr uint32_t kNormal = uint32_t(128 - bias) << 23;  // the smallest with its own exponent
    if (magnitude < kNormal) {  // a code counts units of the smallest value
        constexpr float kUnits =
            std::bit_cast<float>(uint32_t(127 + bias - 1 + fraction_bits) << 23);
        // Adding 2²³ units leaves the count, rounded to nearest even, in the low bits of the sum.
        const float sum = std::bit_cast<float>(magnitude) * kUnits + 0x1.0p23f;
        return std::bit_cast<uint32_t>(sum) & ((2u << fraction_bits) - 1);
    }
    constexpr int kDropped = 23 - fraction_bits;
    const uint32_t rounded =
        magnitude + ((1u << (kDropped - 1)) - 1) + ((magnitude >> kDropped) & 1u);
    return (rounded - (uint32_t(127 - bias) << 23)) >> kDropped;
}

/// Round to nearest, ties to even; beyond ±448, infinity included, gives ±448; NaN stays NaN.
constexpr f8_e4m3 to_f8_e4m3(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = uint8_t((bits >> 24) & 0x80u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint8_t(sign | 0x7Fu)};
    if (magnitude >= 0x43E00000u) return {uint8_t(sign | 0x7Eu)};
    return {uint8_t(sign | narrow_magnitude<3, 7>(magnitude))};
}

inline float to_float(f8_e5m2 value) {
    return to_float(f16{uint16_t(value.bits << 8)});
}

/// Round to nearest, ties to even; beyond ±57344, infinity included, gives ±57344; NaN stays NaN.
constexpr f8_e5m2 to_f8_e5m2(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = uint8_t((bits >> 24) & 0x80u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint8_t(sign | 0x7Fu)};
    if (magnitude >= 0x47600000u) return {uint8_t(sign | 0x7Bu)};
    return {uint8_t(sign | narrow_magnitude<2, 15>(magnitude))};
}

}  // namespace hadal
