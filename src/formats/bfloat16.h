// float32 ↔ bfloat16 and binary16, one value at a time. The vector forms are in ops/cpu/simd.h;
// both give the same bits.
#pragma once

#include <bit>
#include <cstdint>

#include "core/dtype.h"

namespace hadal {

constexpr float to_float(bf16 value) {
    return std::bit_cast<float>(uint32_t(value.bits) << 16);
}

/// Round to nearest, ties to even; a NaN stays a (quiet) NaN.
constexpr bf16 to_bf16(float value) {
    const uint32_t bits = std::bit_cast<uint32_t>(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) return {uint16_t((bits >> 16) | 0x40u)};
    return {uint16_t((bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16)};
}

float to_float(f16 value);
/// Round to nearest, ties to even; overflow gives infinity.
f16 to_f16(float value);

}  // namespace hadal
