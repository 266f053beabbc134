// Runs a list of products that were checked: the half of ops/matmul.h that weights in bf16 and in
// INT4 share.
#pragma once

#include <span>

#include "core/context.h"
#include "ops/cpu/matmul.h"

namespace hadal::ops {

enum class ProductForm { nt, nn, tn };

struct ProductTypes {
    ProductForm form;
    DType in;  // of the operands; an INT4 weight stands for bf16 values
    DType out;
};

/// All in one fork/join. Operands of products are exchanged where that is faster.
void run_products(Context& context, const ProductTypes& types,
                  std::span<cpu::MatmulProduct> products);

}  // namespace hadal::ops
