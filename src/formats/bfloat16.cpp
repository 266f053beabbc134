#include "formats/bfloat16.h"

#include <cmath>

namespace hadal {

float to_float(f16 value) {
    const uint32_t sign = uint32_t(value.bits & 0x8000u) << 16;
    const uint32_t exponent = (value.bits >> 10) & 0x1Fu;
    const uint32_t fraction = value.bits & 0x3FFu;
    if (exponent == 0x1F) return std::bit_cast<float>(sign | 0x7F800000u | (fraction << 13));
    if (exponent != 0) {
        return std::bit_cast<float>(sign | ((exponent + 112) << 23) | (fraction << 13));
    }
    const float magnitude = float(fraction) * 0x1.0p-24f;  // zero or subnormal: exact
    return sign != 0 ? -magnitude : magnitude;
}

f16 to_f16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const auto sign = uint16_t((bits >> 16) & 0x8000u);
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint16_t(sign | 0x7E00u)};   // NaN
    if (magnitude >= 0x477FF000u) return {uint16_t(sign | 0x7C00u)};  // rounds past 65504
    if (magnitude < 0x38800000u) {  // below 2^-14: a subnormal counts units of 2^-24
        const float scaled = std::bit_cast<float>(magnitude) * 0x1.0p24f;
        return {uint16_t(sign | uint16_t(std::nearbyint(scaled)))};
    }
    const uint32_t rounded = magnitude + 0xFFFu + ((magnitude >> 13) & 1u);
    return {uint16_t(sign | ((rounded - 0x38000000u) >> 13))};
}

}  // namespace hadal
