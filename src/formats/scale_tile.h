// Block-scaled FP8: E4M3 codes with one float32 scale per 128×128 block, as V3's weights are stored
// (report §3.3.2).
//     w[i, j] = q[i, j] · scale[i / 128, j / 128],    scale = amax / 448
// Checkpoints call the scale `weight_scale_inv`; it is the multiplier all the same. Blocks at the
// edges are smaller.
#pragma once

#include "core/tensor.h"

namespace hadal::formats {

inline constexpr int64_t kScaleBlock = 128;

/// [⌈rows / 128⌉, ⌈columns / 128⌉] for a weight [rows, columns].
Shape scale_shape(const Shape& weight);

/// y = q · scale, the product in float32 and rounded once to y's type.
void dequantize_blocks(const Tensor& q,      // [rows, columns] f8_e4m3
                       const Tensor& scale,  // scale_shape f32
                       Tensor& y);           // [rows, columns] f32 or bf16

/// The scale is amax / 448 in float32 (1 for a block of zeros) and q = E4M3(w / scale), a true
/// division.
void quantize_blocks(const Tensor& w,  // [rows, columns] f32 or bf16
                     Tensor& q,        // [rows, columns] f8_e4m3
                     Tensor& scale);   // scale_shape f32

}  // namespace hadal::formats
