// Tile-scaled FP8: codes with one float32 scale for each tile of a matrix (report §3.3.2).
//     x[i, j] = codes[i, j] · scale[i / tile rows, j / tile columns],    scale = amax / 448
// V3 takes tiles of 1×128 for activations and gradients, 128×128 for weights, 128×1 for the
// operands of the weight gradient. Tiles at the edges are smaller. The plain loops here are the
// reference that ops/quantize.h matches bit for bit.
#pragma once

#include "core/tensor.h"

namespace hadal::formats {

inline constexpr int64_t kScaleBlock = 128;

enum class ScaleKind : uint8_t {
    f32,           // amax / largest
    power_of_two,  // that rounded up to a power of two (E8M0): scaling is exact
};

struct Tiling {
    int64_t rows = 1;  // of a tile; 0: all of the matrix's
    int64_t columns = kScaleBlock;
    ScaleKind scale = ScaleKind::f32;
    friend bool operator==(const Tiling&, const Tiling&) = default;
};

inline constexpr Tiling kRowTiles{1, kScaleBlock};              // activations, gradients
inline constexpr Tiling kBlockTiles{kScaleBlock, kScaleBlock};  // weights
inline constexpr Tiling kColumnTiles{kScaleBlock, 1};           // weight gradient's operands
inline constexpr Tiling kWholeTensor{0, 0};                     // one scale
inline constexpr Tiling kMicroscaling{1, 32, ScaleKind::power_of_two};         // MXFP8
inline constexpr Tiling kMicroscalingColumns{32, 1, ScaleKind::power_of_two};  // along tokens

/// A matrix as codes and scales.
struct TiledMatrix {
    Tensor codes;  // [rows, columns] f8_e4m3 or f8_e5m2
    Tensor scale;  // scale_shape(codes.shape(), tiling) f32
    Tiling tiling;

    /// Uninitialised memory of its own.
    static TiledMatrix uninitialized(const Shape& shape, const Tiling& tiling,
                                     DType codes = DType::f8_e4m3);
    int64_t bytes() const {
        return codes.bytes() + scale.bytes();
    }
    /// A view. `begin` must lie at the edge of a tile.
    TiledMatrix rows(int64_t begin, int64_t count) const;
};

/// [⌈rows / tile rows⌉, ⌈columns / tile columns⌉]
Shape scale_shape(const Shape& matrix, const Tiling& tiling = kBlockTiles);

/// The scale of a tile whose largest magnitude is `amax`, for codes up to `largest`; 1 for a tile
/// of zeros. NaN stays NaN and makes all of the tile's codes NaN: never a plausible number.
float tile_scale(float amax, float largest, ScaleKind kind);

/// y = codes · scale, the product in float32 and rounded once to y's type.
void dequantize_tiles(const TiledMatrix& x,
                      Tensor& y);  // [rows, columns] f32 or bf16

/// codes = E4M3(x / scale), a true division.
void quantize_tiles(const Tensor& x,  // [rows, columns] f32 or bf16
                    TiledMatrix& q);

/// The same for a weight as checkpoints hold it, in blocks of 128×128. They call the scale
/// `weight_scale_inv`; it is the multiplier all the same.
void dequantize_blocks(const Tensor& q,      // [rows, columns] f8_e4m3
                       const Tensor& scale,  // scale_shape f32
                       Tensor& y);           // [rows, columns] f32 or bf16
void quantize_blocks(const Tensor& w,        // [rows, columns] f32 or bf16
                     Tensor& q,              // [rows, columns] f8_e4m3
                     Tensor& scale);         // scale_shape f32

/// Throws Error(internal) naming `what` unless codes, scale and tiling fit each other and `shape`.
void require(const TiledMatrix& matrix, const Shape& shape, std::string_view what);

}  // namespace hadal::formats
