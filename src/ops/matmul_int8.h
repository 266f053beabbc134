// Products of activations in INT8 with weights in INT4 or INT8: sums of integers, exact, under
// scales of groups. Weights stay where they lie, half a byte or one each.
//
// Activations are quantised row by row in tiles of 128 along `in`, symmetric:
//
//     s[t, b] = amax / 127,    a[t, j] = round(x[t, j] · (127 / amax)),    |a| ≤ 127
//
// both divisions rounded to float32, ties to even. A tile whose amax is below 2⁻¹⁰⁰ is zero (s =
// 0); one that holds a value that is not finite has s = NaN and zeros for codes, so that every
// result of its row is NaN.
//
// A weight is (code − bias)·scale[i, j / 32] with bias 8 or 128. With the exact integers
//
//     d_g = Σ_{j in group g} (code[i, j] − bias) · a[t, j]
//
// a result is, every operation rounded to float32 once, tile after tile from b = 0 and y = 0:
//
//     p_g  = d_g · scale[i, g]                       of the four groups of a tile; 0 behind the end
//     y    = fma((p_0 + p_1) + (p_2 + p_3), s[t, b], y)
//
// and rounded once more to y's type. Nothing in this depends on the instruction set, the batch or
// the threads, and so no bit of a result does.
#pragma once

#include <span>

#include "core/context.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"

namespace hadal::ops {

inline constexpr int64_t kInt8RowTile = 128;  // activations under one scale

/// Activations as codes and scales.
struct Int8Rows {
    Tensor codes;  // [rows, in] i8
    Tensor scale;  // [rows, ⌈in / 128⌉] f32

    static Int8Rows uninitialized(int64_t rows, int64_t in);
    /// Until the workspace's scope ends.
    static Int8Rows take(Workspace& workspace, int64_t rows, int64_t in);
    /// A view.
    Int8Rows rows(int64_t begin, int64_t count) const;
};

void quantize_rows_int8(Context& context,
                        const Tensor& x,  // [rows, in] bf16
                        Int8Rows& q);
/// One of a list, as above: all of it runs in one fork/join, widths may differ.
struct Int8Quantization {
    Tensor x;    // [rows, in] bf16
    Int8Rows q;  // [rows, in]
};
void quantize_rows_int8(Context& context, std::span<const Int8Quantization> list);

/// A weight in INT4 or INT8: a view of either.
struct IntegerMatrix {
    IntegerMatrix(const formats::Int4Matrix& w) : packed(w.packed), scale(w.scale), bits(4) {}
    IntegerMatrix(const formats::Int8Matrix& w) : packed(w.packed), scale(w.scale), bits(8) {}

    Tensor packed;  // [out, in·bits / 32] i32
    Tensor scale;   // [out, in / 32] bf16
    int64_t bits;
};

/// As Product: all of a list run in one fork/join, the bits of its weights may differ.
struct ProductInt8 {
    Int8Rows x;       // [tokens, in]
    IntegerMatrix w;  // [out, in]
    Tensor y;         // [tokens, out] bf16 or f32
    bool add = false;
};

/// y = x·wᵀ.
void matmul_nt(Context& context, const Int8Rows& x, const IntegerMatrix& w, Tensor& y);
void matmul_nt(Context& context, std::span<const ProductInt8> products);

}  // namespace hadal::ops
