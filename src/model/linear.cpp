#include "model/linear.h"

#include <vector>

#include "ops/matmul.h"

namespace hadal::model {

namespace {

std::vector<ops::Product> products_of(std::span<const LinearRows> list) {
    std::vector<ops::Product> products;
    products.reserve(list.size());
    for (const LinearRows& rows : list) {
        products.push_back({rows.operand.values, rows.linear.weight, rows.result});
    }
    return products;
}

}  // namespace

Operand allocate_operand(std::string_view name, Shape shape, DType dtype,
                         const Allocate& allocate) {
    return {.values = allocate(name, shape, dtype)};
}

void Linear::forward(Context& context, const Operand& x, Tensor& y) const {
    ops::matmul_nt(context, x.values, weight, y);
}

void Linear::forward_add(Context& context, const Operand& x, Tensor& y) const {
    ops::matmul_nt_add(context, x.values, weight, y);
}

void Linear::forward(Context& context, std::span<const LinearRows> list) {
    ops::matmul_nt(context, products_of(list));
}

void Linear::backward_input(Context& context, const Operand& d_y, Tensor& d_x) const {
    ops::matmul_nn(context, d_y.values, weight, d_x);
}

void Linear::backward_input_add(Context& context, const Operand& d_y, Tensor& d_x) const {
    ops::matmul_nn_add(context, d_y.values, weight, d_x);
}

void Linear::backward_input(Context& context, std::span<const LinearRows> list) {
    ops::matmul_nn(context, products_of(list));
}

void Linear::backward_input_add(Context& context, std::span<const LinearRows> list) {
    ops::matmul_nn_add(context, products_of(list));
}

void Linear::add_gradient(Context& context, const Operand& d_y, const Operand& x) {
    ops::matmul_tn_add(context, d_y.values, x.values, weight);
}

void Linear::add_gradients(Context& context, std::span<const LinearGradientRows> list) {
    std::vector<ops::Product> products;
    products.reserve(list.size());
    for (const LinearGradientRows& rows : list) {
        products.push_back({rows.d_y.values, rows.x.values, rows.gradient.weight});
    }
    ops::matmul_tn_add(context, products);
}

}  // namespace hadal::model
