// From the largest magnitude of a tile to its scale.
#pragma once

#include "ops/cpu/quantize.h"

namespace hadal::ops::cpu {
namespace {

/// Between these no step of a division by multiplication can leave the range of float32. Values of
/// a tile that are far below its largest may, but their codes are 0 whatever the last bits are.
constexpr float kTiny = 0x1p-60f;
constexpr float kHuge = 0x1p100f;

inline bool is_usual(float amax) {
    return amax == 0 || (amax >= kTiny && amax <= kHuge);
}

inline float scale_of(float amax, const ScaleRule& rule) {
    if (amax == 0) return 1;
    const float scale = amax / rule.largest;
    if (!rule.power_of_two) return scale == 0 ? 1 : scale;
    if (scale <= 0x1p-126f) return 0x1p-126f;
    const uint32_t bits = __builtin_bit_cast(uint32_t, scale);
    if (bits >= 0x7F800000u) return scale;
    return __builtin_bit_cast(float, (bits + 0x007FFFFFu) & 0x7F800000u);
}

}  // namespace
}  // namespace hadal::ops::cpu
