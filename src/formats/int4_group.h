// INT4 with one scale for each group of 32 weights along `in`, symmetric: the layout
// "pack-quantized" of compressed-tensors, in which Kimi-K2-Thinking holds its routed experts.
//     w[i, j] = (nibble − 8) · scale[i, j / 32],    nibble = (packed[i, j / 8] >> 4·(j mod 8)) & 15
// A weight takes 4.5 bits: half a byte, and two bytes of bf16 scale for 32.
#pragma once

#include <cstdint>
#include <span>

#include "core/tensor.h"

namespace hadal::formats {

inline constexpr int64_t kInt4Group = 32;   // weights under one scale
inline constexpr int64_t kInt4PerWord = 8;  // codes in an int32, the first in the lowest bits
inline constexpr int64_t kInt4WordsPerGroup = kInt4Group / kInt4PerWord;

/// A matrix as codes and scales.
struct Int4Matrix {
    Tensor packed;  // [rows, columns / 8] i32
    Tensor scale;   // [rows, columns / 32] bf16

    /// Uninitialised memory of its own, for a shape that fits_int4.
    static Int4Matrix uninitialized(const Shape& shape);
    /// [rows, columns] of the weights.
    Shape shape() const;
    int64_t bytes() const {
        return packed.bytes() + scale.bytes();
    }
    /// A view.
    Int4Matrix rows(int64_t begin, int64_t count) const;
};

/// Whether a weight of this shape is whole groups.
bool fits_int4(const Shape& shape);

using Int4Values = std::span<const float, size_t(kInt4Group)>;
using Int4Words = std::span<int32_t, size_t(kInt4WordsPerGroup)>;

/// The scale with the least squared error among a few between amax / 7, where nothing is clipped,
/// and amax / 9; the larger one of equals. 1 for zeros. Not finite if a value is not.
bf16 int4_scale(Int4Values w);
/// The scale with the least Σ importance·error², importance ≥ 0: the same candidates, each moved
/// twice to the best scale for its own codes. As above where all importances are 0.
bf16 int4_scale(Int4Values w, Int4Values importance);
/// nibble − 8 = w / scale, a true division, rounded to nearest even and clipped to −8 … 7. Under a
/// scale that is not finite all codes are 0, so that the values are NaN: never a plausible number.
void encode_int4(Int4Values w, bf16 scale, Int4Words packed);

/// Both for all groups of a matrix. `importance` is each column's, the mean square of the
/// activations that meet it; empty: every error counts the same.
void quantize_int4(const Tensor& w,                    // [rows, columns] f32 or bf16
                   std::span<const float> importance,  // [columns] or empty
                   Int4Matrix& q);
/// y = (nibble − 8) · scale: exact in float32, rounded once to y's type.
void dequantize_int4(const Int4Matrix& q, Tensor& y);  // [rows, columns] f32 or bf16

/// Throws Error(internal) naming `what` unless codes and scales fit each other and `shape`.
void require(const Int4Matrix& matrix, const Shape& shape, std::string_view what);

}  // namespace hadal::formats
