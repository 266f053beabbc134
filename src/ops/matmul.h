// Matrix products of a linear layer: forward, input gradient, weight gradient. The names say which
// operand is transposed, as BLAS does: y = x·wᵀ is "nt", dx = dy·w is "nn", dw = dyᵀ·x is "tn".
//
// Types: bf16, f32 or f64 operands of one type. Products of bf16 values are summed in float32. The
// result has the operands' type, or f32 for bf16 operands.
//
// Every result element is summed in one fixed order over the inner dimension that depends on
// nothing but the inner dimension and the instruction set: not on the number of rows, the position
// of the row, the other products of the list, or the number of threads. Decision 4 of
// docs/architecture.md rests on this.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// One product of a list. All products of a list run in one fork/join, cut into tiles that are
/// balanced over threads: this is how the experts of a layer (ragged, some empty) and the heads of
/// absorbed attention are computed. Rows may be strided (Tensor::columns), columns must be
/// adjacent.
struct Product {
    Tensor left;
    Tensor right;
    Tensor result;
    bool add = false;  // to what the result holds, rounding once
};

/// y = x·wᵀ, the forward pass.   x [tokens, in], w [out, in], y [tokens, out]
void matmul_nt(Context& context, const Tensor& x, const Tensor& w, Tensor& y);
void matmul_nt(Context& context, std::span<const Product> products);  // {x, w, y}

/// dx = dy·w, the input gradient.   dy [tokens, out], w [out, in], dx [tokens, in]
void matmul_nn(Context& context, const Tensor& dy, const Tensor& w, Tensor& dx);
void matmul_nn(Context& context, std::span<const Product> products);  // {dy, w, dx}

/// dx += dy·w.
void matmul_nn_add(Context& context, const Tensor& dy, const Tensor& w, Tensor& dx);
void matmul_nn_add(Context& context, std::span<const Product> products);  // {dy, w, dx}

/// dw += dyᵀ·x, the weight gradient: adds, so that micro-batches accumulate.
/// dy [tokens, out], x [tokens, in], dw [out, in] f32 (f64 for f64 operands). With no tokens dw is
/// left as it is.
void matmul_tn_add(Context& context, const Tensor& dy, const Tensor& x, Tensor& dw);
void matmul_tn_add(Context& context, std::span<const Product> products);  // {dy, x, dw}

}  // namespace hadal::ops
