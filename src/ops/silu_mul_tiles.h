// The gate of SwiGLU between codes: what ops/silu_mul.h computes of bf16 rows, each quantised or
// dequantised where it lies in the first-level cache. The bits are those of silu_mul between
// dequantize_tiles and quantize_tiles. Tiles are of one row.
#pragma once

#include "core/context.h"
#include "formats/scale_tile.h"

namespace hadal::ops {

struct SiluMulTiles {
    formats::TiledMatrix gate;  // [tokens, intermediate]
    formats::TiledMatrix up;    // [tokens, intermediate]
};

/// product = weight · silu(gate) · up of the values; their codes are kept beside it.
void silu_mul_tiles(Context& context,
                    const Tensor& gate,    // [tokens, intermediate] bf16
                    const Tensor& up,      // [tokens, intermediate] bf16
                    const Tensor& weight,  // [tokens] f32, or empty
                    SiluMulTiles& kept, formats::TiledMatrix& product);

/// The same product of what was kept.
void silu_mul_tiles(Context& context, const SiluMulTiles& kept, const Tensor& weight,
                    formats::TiledMatrix& product);

/// Gradients of gate and up at what was kept, as codes, and of the weight; the product of what was
/// kept once more.
void silu_mul_tiles_backward(Context& context,
                             const Tensor& d_product,  // [tokens, intermediate] bf16
                             const SiluMulTiles& kept, const Tensor& weight, SiluMulTiles& gradient,
                             formats::TiledMatrix& product,
                             Tensor& d_weight);  // [tokens] f32; empty where the weight is

}  // namespace hadal::ops
