// Products with INT4 weights, which stay half a byte each on their way from memory to the register.
//
//     y = x·wᵀ,    w[i, j] = bf16((nibble − 8) · scale[i, j / 32])
//
// The values are those of formats::dequantize_int4, and so is every bit of the result: that of
// matmul_nt (ops/matmul.h) with the unpacked weight, in any batch and on any number of threads.
#pragma once

#include <span>

#include "core/context.h"
#include "formats/int4_group.h"

namespace hadal::ops {

using formats::Int4Matrix;

/// As Product: all of a list run in one fork/join.
struct ProductInt4 {
    Tensor x;      // [tokens, in] bf16
    Int4Matrix w;  // [out, in]
    Tensor y;      // [tokens, out] bf16 or f32
    bool add = false;
};

void matmul_nt(Context& context, const Tensor& x, const Int4Matrix& w, Tensor& y);
void matmul_nt(Context& context, std::span<const ProductInt4> products);

}  // namespace hadal::ops
