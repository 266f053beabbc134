// E8M0, the scale of the OCP microscaling formats (MX v1.0, §5.4.1): eight bits of exponent,
// 2^(code − 127); 255 is NaN. Scales are float32 tensors everywhere in hadal; this is how powers of
// two are stored in one byte.
#pragma once

#include <bit>
#include <cstdint>
#include <limits>

namespace hadal {

struct E8M0 {
    uint8_t bits;
    friend bool operator==(E8M0, E8M0) = default;
};

constexpr float to_float(E8M0 value) {
    if (value.bits == 255) return std::numeric_limits<float>::quiet_NaN();
    if (value.bits == 0) return 0x1p-127f;  // float32 has it as a subnormal
    return std::bit_cast<float>(uint32_t(value.bits) << 23);
}

/// The smallest power of two that is no less than `value`, at least 2⁻¹²⁶: a scale rounded up, so
/// that nothing saturates. NaN and infinity, which no scale can mend, stay.
constexpr float power_of_two_from(float value) {
    if (value <= 0x1p-126f) return 0x1p-126f;
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (bits >= 0x7F800000u) return value;
    return std::bit_cast<float>((bits + 0x007FFFFFu) & 0x7F800000u);
}

/// The code of a power of two; anything else (infinity, NaN, other fractions) becomes NaN.
constexpr E8M0 to_e8m0(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if (bits == 0x00400000u) return {0};
    const bool is_power = (bits & 0x807FFFFFu) == 0 && bits != 0;
    return {uint8_t(is_power ? bits >> 23 : 255)};
}

}  // namespace hadal
