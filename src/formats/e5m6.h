// float32 ↔ E5M6, one value at a time: sign, 5 exponent bits (bias 15), 6 fraction bits, which are
// the upper 12 bits of an IEEE binary16. V3 keeps the input of the attention's output projection in
// a "customized E5M6" (report §3.3.3), since the attention's backward reads it too. The report
// gives neither bias nor packing: these are ours.
//
// Two values lie in three bytes, low bits first: byte 0 holds bits 0–7 of the first, byte 1 its
// bits 8–11 and bits 0–3 of the second, byte 2 bits 4–11 of the second. A row of odd length ends
// with a zero. A packed matrix is a u8 tensor [rows, e5m6_row_bytes(columns)].
#pragma once

#include <bit>
#include <cstdint>

#include "formats/bfloat16.h"
#include "formats/float8.h"

namespace hadal {

inline constexpr float kLargestE5M6 = 65024;

/// In the low 12 bits.
struct E5M6 {
    uint16_t bits;
    friend bool operator==(E5M6, E5M6) = default;
};

inline float to_float(E5M6 value) {
    return to_float(f16{uint16_t(value.bits << 4)});
}

/// Round to nearest, ties to even; beyond ±65024, infinity included, gives ±65024; NaN stays NaN.
constexpr E5M6 to_e5m6(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    const uint32_t sign = (bits >> 20) & 0x800u;
    const uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) return {uint16_t(sign | 0x7FFu)};
    if (magnitude >= std::bit_cast<uint32_t>(kLargestE5M6)) return {uint16_t(sign | 0x7BFu)};
    return {uint16_t(sign | narrow_magnitude<6, 15>(magnitude))};
}

constexpr int64_t e5m6_row_bytes(int64_t columns) {
    return (columns + 1) / 2 * 3;
}

/// Value i of a packed row.
constexpr E5M6 e5m6_at(const uint8_t* row, int64_t i) {
    const uint8_t* pair = row + i / 2 * 3;
    if (i % 2 == 0) return {uint16_t(pair[0] | (pair[1] & 0x0Fu) << 8)};
    return {uint16_t(pair[1] >> 4 | pair[2] << 4)};
}
constexpr void put_e5m6_pair(E5M6 first, E5M6 second, uint8_t* pair) {
    pair[0] = uint8_t(first.bits);
    pair[1] = uint8_t(first.bits >> 8 | (second.bits & 0x0Fu) << 4);
    pair[2] = uint8_t(second.bits >> 4);
}

}  // namespace hadal
