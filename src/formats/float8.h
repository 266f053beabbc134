// float32 ↔ float8 E4M3 ("fn"), one value at a time: sign, 4 exponent bits (bias 7), 3 fraction
// bits; no infinities, NaN is 0x7F and 0xFF, largest 448, smallest 2⁻⁹. The one format of V3's
// weights and activations (report §3.3.2).
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <limits>

#include "core/dtype.h"

namespace hadal {

inline constexpr float kLargestF8 = 448;

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

/// Round to nearest, ties to even; beyond ±448, infinity included, gives ±448; NaN stays NaN.
constexpr f8_e4m3 to_f8_e4m3(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = uint8_t((bits >> 24) & 0x80u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint8_t(sign | 0x7Fu)};
    if (magnitude >= 0x43E00000u) return {uint8_t(sign | 0x7Eu)};
    if (magnitude < 0x3C800000u) {  // below 2⁻⁶ a code counts units of 2⁻⁹
        // Adding 2²³ units leaves the count, rounded to nearest even, in the low bits of the sum.
        const float sum = std::bit_cast<float>(magnitude) * 0x1.0p9f + 0x1.0p23f;
        return {uint8_t(sign | (std::bit_cast<uint32_t>(sum) & 0x0Fu))};
    }
    const uint32_t rounded = magnitude + 0x7FFFFu + ((magnitude >> 20) & 1u);
    return {uint8_t(sign | ((rounded - 0x3C000000u) >> 20))};
}

}  // namespace hadal
