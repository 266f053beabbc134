// INT8 with one scale for each group of 32 weights along `in`, symmetric: the layout
// "pack-quantized" of compressed-tensors with eight bits, beside the INT4 of formats/int4_group.h.
//     w[i, j] = (byte − 128) · scale[i, j / 32],    byte = (packed[i, j / 4] >> 8·(j mod 4)) & 255
// A weight takes 8.5 bits. In memory the bytes of a row lie in the order of its columns, so that a
// product of unsigned by signed bytes reads them as they are.
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace hadal::formats {

inline constexpr int64_t kInt8Group = 32;   // weights under one scale
inline constexpr int64_t kInt8PerWord = 4;  // codes in an int32, the first in the lowest bits
inline constexpr int64_t kInt8WordsPerGroup = kInt8Group / kInt8PerWord;

/// A matrix as codes and scales.
struct Int8Matrix {
    Tensor packed;  // [rows, columns / 4] i32
    Tensor scale;   // [rows, columns / 32] bf16

    /// Uninitialised memory of its own, for a shape that fits_int8.
    static Int8Matrix uninitialized(const Shape& shape);
    /// [rows, columns] of the weights.
    Shape shape() const;
    int64_t bytes() const {
        return packed.bytes() + scale.bytes();
    }
    /// A view.
    Int8Matrix rows(int64_t begin, int64_t count) const;
};

/// Whether a weight of this shape is whole groups.
bool fits_int8(const Shape& shape);

using Int8Values = std::span<const float, size_t(kInt8Group)>;
using Int8Words = std::span<int32_t, size_t(kInt8WordsPerGroup)>;

/// amax / 127: nothing is clipped. 1 for zeros. Not finite if a value is not.
bf16 int8_scale(Int8Values w);
/// byte − 128 = w / scale, a true division, rounded to nearest even and clipped to −128 … 127.
/// Under a scale that is not finite all values are NaN: never a plausible number.
void encode_int8(Int8Values w, bf16 scale, Int8Words packed);

/// Both for all groups of a matrix.
void quantize_int8(const Tensor& w,  // [rows, columns] f32 or bf16
                   Int8Matrix& q);
/// y = (byte − 128) · scale: exact in float32, rounded once to y's type.
void dequantize_int8(const Int8Matrix& q, Tensor& y);  // [rows, columns] f32 or bf16

/// Throws Error(internal) naming `what` unless codes and scales fit each other and `shape`.
void require(const Int8Matrix& matrix, const Shape& shape, std::string_view what);

}  // namespace hadal::formats
