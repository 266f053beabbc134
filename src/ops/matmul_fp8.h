// The three products of an FP8 linear layer (report §3.3.2, figure 6), named as in ops/matmul.h:
// y = x·wᵀ is "nt", dx = dy·w is "nn", dw = dyᵀ·x is "tn".
//
//     c[m, n] = Σ_b s_left[m, b] · s_right[n, b] · Σ_{k in block b} left[m, k] · right[n, k]
//
// Blocks of k are 128 long, or 32 where an operand's tiles are (microscaling). Codes are exact in
// bf16 and products of codes in float32; a block is summed in float32 in one fixed order, then
// scaled (s_left · s_right rounded to float32 first) and added to the sum of the blocks before it,
// in the order of k: the promotion to FP32 that the report asks of Hopper, with an exact FP32 sum
// inside the block, where Hopper keeps 14 bits.
//
// An element's bits depend on its row, its column, k and the instruction set alone: not on the
// number of rows, the list or the threads.
//
// Operands: f8_e4m3 or f8_e5m2, any tiling whose extent along k is 32, a multiple of 128, or all of
// k. V3's tilings: nt 1×128 by 128×128, nn 1×128 by 128×128, tn 128×1 by 128×1. Results: bf16 or
// f32; tn adds to f32. No scaled copy of a weight is made: it is read once, a byte each.
#pragma once

#include <span>

#include "core/context.h"
#include "formats/scale_tile.h"

namespace hadal::ops {

using formats::TiledMatrix;

/// As Product: all of a list run in one fork/join.
struct ProductFp8 {
    TiledMatrix left;
    TiledMatrix right;
    Tensor result;
    bool add = false;  // to what the result holds, rounding once
};

/// y = x·wᵀ.   x [tokens, in], w [out, in], y [tokens, out] bf16 or f32
void matmul_nt(Context& context, const TiledMatrix& x, const TiledMatrix& w, Tensor& y);
void matmul_nt(Context& context, std::span<const ProductFp8> products);  // {x, w, y}

/// dx = dy·w.   dy [tokens, out], w [out, in], dx [tokens, in] bf16 or f32
void matmul_nn(Context& context, const TiledMatrix& dy, const TiledMatrix& w, Tensor& dx);
void matmul_nn(Context& context, std::span<const ProductFp8> products);  // {dy, w, dx}

/// dx += dy·w.
void matmul_nn_add(Context& context, const TiledMatrix& dy, const TiledMatrix& w, Tensor& dx);
void matmul_nn_add(Context& context, std::span<const ProductFp8> products);  // {dy, w, dx}

/// dw += dyᵀ·x.   dy [tokens, out], x [tokens, in], dw [out, in] f32. With no tokens dw stays.
void matmul_tn_add(Context& context, const TiledMatrix& dy, const TiledMatrix& x, Tensor& dw);
void matmul_tn_add(Context& context, std::span<const ProductFp8> products);  // {dy, x, dw}

/// The same with bf16 activations, which are not quantised: weights of a block-FP8 checkpoint are
/// multiplied where they lie.
struct ProductW8A16 {
    Tensor x;       // [tokens, in] bf16
    TiledMatrix w;  // [out, in]
    Tensor y;       // [tokens, out] bf16 or f32
    bool add = false;
};
void matmul_nt(Context& context, const Tensor& x, const TiledMatrix& w, Tensor& y);
void matmul_nt(Context& context, std::span<const ProductW8A16> products);

}  // namespace hadal::ops
