// Between bf16 or f32 matrices and tile-scaled FP8 (formats/scale_tile.h says what a tiling is and
// is the reference for every bit), and between one tiling and another.
//
//     scale = amax / 448 in float32, 1 for a tile of zeros;  code = E4M3(x / scale), a true
//     division scale = that rounded up to a power of two, where the tiling asks for it
//
// Report §3.3.2: tiles of 1×128 for activations and gradients, 128×128 for weights; scales from the
// current tensor. Lists run in one fork/join: an expert's tiles along the tokens begin at its first
// row, whatever the other experts received. Rows may be strided.
#pragma once

#include <span>

#include "core/context.h"
#include "formats/scale_tile.h"

namespace hadal::ops {

using formats::TiledMatrix;
using formats::Tiling;

struct Quantization {
    Tensor x;       // [rows, columns] bf16 or f32
    TiledMatrix q;  // of the same shape; its tiling is what is wanted
};

void quantize_tiles(Context& context, const Tensor& x, TiledMatrix& q);
void quantize_tiles(Context& context, std::span<const Quantization> list);

/// y = codes · scale in float32, rounded once to y's type.
void dequantize_tiles(Context& context, const TiledMatrix& x,
                      Tensor& y);  // [rows, columns] bf16 or f32

struct Requantization {
    TiledMatrix from;
    TiledMatrix to;  // of the same shape
};

/// to = quantise(codes · scale), the product kept in float32: how the weight gradient's operands in
/// tiles of 128×1 come from the cached tiles of 1×128 (report §3.3.2).
void requantize_tiles(Context& context, const TiledMatrix& from, TiledMatrix& to);
void requantize_tiles(Context& context, std::span<const Requantization> list);

/// x in E5M6 (formats/e5m6.h), each tile of 1×128 divided by a power of two that brings its largest
/// value below 65024: the cached input of the attention's output projection (report §3.3.3).
/// Exact inverse scaling: unpacking gives bf16 without a further rounding.
void pack_e5m6(Context& context,
               const Tensor& x,  // [rows, columns] bf16 or f32
               Tensor& packed,   // [rows, e5m6_row_bytes(columns)] u8
               Tensor& scale);   // [rows, ⌈columns / 128⌉] f32
void unpack_e5m6(Context& context, const Tensor& packed, const Tensor& scale,
                 Tensor& y);  // [rows, columns] bf16 or f32

}  // namespace hadal::ops
