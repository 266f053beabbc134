// From sums in float32 (float64 for f64) to the result: adding to what it holds, rounding once.
#pragma once

#include <cstdint>

#include "core/dtype.h"

namespace hadal::ops::cpu {
namespace {

[[maybe_unused]] inline float widen(bf16 value) {
    return __builtin_bit_cast(float, uint32_t(value.bits) << 16);
}
[[maybe_unused]] inline float widen(float value) {
    return value;
}
[[maybe_unused]] inline double widen(double value) {
    return value;
}

[[maybe_unused]] inline void narrow(double value, double& to) {
    to = value;
}
[[maybe_unused]] inline void narrow(float value, float& to) {
    to = value;
}
/// Round to nearest, ties to even; a NaN stays one. The same bits as hadal::to_bf16, without a
/// branch.
[[maybe_unused]] inline void narrow(float value, bf16& to) {
    const uint32_t bits = __builtin_bit_cast(uint32_t, value);
    const uint32_t rounded = (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
    to.bits = uint16_t((bits & 0x7FFFFFFFu) > 0x7F800000u ? (bits >> 16) | 0x40u : rounded);
}

}  // namespace
}  // namespace hadal::ops::cpu
