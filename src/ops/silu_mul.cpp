#include "ops/silu_mul.h"

#include "ops/cpu/silu_mul.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

template <class T>
const cpu::Statistic<T>* weights_of(const Tensor& weight) {
    return weight.empty() ? nullptr : weight.data_as<cpu::Statistic<T>>();
}

}  // namespace

void silu_mul(Context& context, const Tensor& gate, const Tensor& up, const Tensor& weight,
              Tensor& product) {
    const auto [tokens, intermediate] = gate.shape<2>();
    require(up, gate.dtype(), {tokens, intermediate}, "silu_mul: up");
    require(product, gate.dtype(), {tokens, intermediate}, "silu_mul: product");
    if (!weight.empty()) {
        require(weight, statistic_type(gate.dtype()), {tokens}, "silu_mul: weight");
    }
    for_rows(context, "silu_mul", gate.dtype(), {tokens, intermediate},
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const cpu::SiluMulForward<T> a{.gate = gate.data_as<T>(),
                                                .gate_stride = gate.row_stride(),
                                                .up = up.data_as<T>(),
                                                .up_stride = up.row_stride(),
                                                .weight = weights_of<T>(weight),
                                                .product = product.data_as<T>(),
                                                .product_stride = product.row_stride(),
                                                .intermediate = gate.shape()[1]};
                 cpu::silu_mul_rows<isa, T>(a, begin, end);
             });
}

void silu_mul_backward(Context& context, const Tensor& d_product, const SiluMulInputs& inputs,
                       SiluMulGradients gradients) {
    const Tensor &gate = inputs.gate, &up = inputs.up, &weight = inputs.weight;
    Tensor &d_gate = gradients.d_gate, &d_up = gradients.d_up, &d_weight = gradients.d_weight;
    const auto [tokens, intermediate] = gate.shape<2>();
    const Shape shape{tokens, intermediate};
    require(d_product, gate.dtype(), shape, "silu_mul: d_product");
    require(up, gate.dtype(), shape, "silu_mul: up");
    require(d_gate, gate.dtype(), shape, "silu_mul: d_gate");
    require(d_up, gate.dtype(), shape, "silu_mul: d_up");
    if (!weight.empty()) {
        require(weight, statistic_type(gate.dtype()), {tokens}, "silu_mul: weight");
        require(d_weight, statistic_type(gate.dtype()), {tokens}, "silu_mul: d_weight");
    }
    for_rows(context, "silu_mul", gate.dtype(), shape,
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 const cpu::SiluMulBackward<T> a{
                     .d_product = d_product.data_as<T>(),
                     .d_product_stride = d_product.row_stride(),
                     .gate = gate.data_as<T>(),
                     .gate_stride = gate.row_stride(),
                     .up = up.data_as<T>(),
                     .up_stride = up.row_stride(),
                     .weight = weights_of<T>(weight),
                     .d_gate = d_gate.data_as<T>(),
                     .d_gate_stride = d_gate.row_stride(),
                     .d_up = d_up.data_as<T>(),
                     .d_up_stride = d_up.row_stride(),
                     .d_weight = weight.empty() ? nullptr : d_weight.data_as<cpu::Statistic<T>>(),
                     .intermediate = gate.shape()[1]};
                 cpu::silu_mul_backward_rows<isa, T>(a, begin, end);
             });
}

}  // namespace hadal::ops
