// What tests of matrix products share, whatever their operands.
#pragma once

#include <span>

#include "core/context.h"

namespace hadal::test {

enum class Form { nt, nn, tn };

/// The product of ops/matmul.h or ops/matmul_fp8.h that the form names, over a list.
template <class Product>
void multiply(Context& context, Form form, bool add, std::span<const Product> products) {
    if (form == Form::nt && add) {
        for (Product p : products) {
            p.add = true;
            ops::matmul_nt(context, {&p, 1});
        }
    } else if (form == Form::nt) {
        ops::matmul_nt(context, products);
    } else if (form == Form::nn && add) {
        ops::matmul_nn_add(context, products);
    } else if (form == Form::nn) {
        ops::matmul_nn(context, products);
    } else {
        ops::matmul_tn_add(context, products);
    }
}

}  // namespace hadal::test
