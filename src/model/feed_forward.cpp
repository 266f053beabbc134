#include "model/feed_forward.h"

#include <vector>

#include "ops/silu_mul.h"

namespace hadal::model {

FeedForwardSaved allocate_feed_forward_saved(int64_t tokens, int64_t intermediate,
                                             const Precision& precision,
                                             const ActivationMemory& memory) {
    const Shape shape{tokens, intermediate};
    return {.gate = allocate_kept_tiles("gate", shape, precision, memory),
            .up = allocate_kept_tiles("up", shape, precision, memory),
            .product = allocate_operand("product", shape, precision.dtype, precision.activation(),
                                        memory.recomputed)};
}

FeedForwardBackward allocate_feed_forward_backward(int64_t tokens, int64_t intermediate,
                                                   const Precision& precision,
                                                   const Allocate& allocate) {
    const auto operand = [&](std::string_view name) {
        return allocate_operand(name, {tokens, intermediate}, precision.dtype, precision.gradient(),
                                allocate);
    };
    return {.d_gate = operand("d_gate"), .d_up = operand("d_up")};
}

void FeedForward::forward(Context& context, const Operand& x, FeedForwardSaved& saved,
                          Tensor& y) const {
    weights_.gate_proj.forward(context, x, saved.gate.values);  // [tokens, intermediate]
    weights_.up_proj.forward(context, x, saved.up.values);      // [tokens, intermediate]
    store(context, saved.gate);
    store(context, saved.up);
    multiply(context, saved);
    weights_.down_proj.forward_add(context, saved.product, y);  // [tokens, hidden]
}

void FeedForward::multiply(Context& context, FeedForwardSaved& saved) const {
    ops::silu_mul(context, saved.gate.values, saved.up.values, Tensor(), saved.product.values);
    encode(context, saved.product);
}

void FeedForward::recompute(Context& context, FeedForwardSaved& saved) const {
    restore(context, saved.gate);
    restore(context, saved.up);
    multiply(context, saved);
}

void FeedForward::backward_input(Context& context, const Operand& d_y,
                                 const FeedForwardSaved& saved, FeedForwardBackward& work,
                                 Tensor& d_x) const {
    const Workspace::Scope scope(context.workspace);
    const Tensor &gate = saved.gate.values, &up = saved.up.values;
    Tensor d_product = context.workspace.take(gate.shape(), gate.dtype());
    Tensor none;
    weights_.down_proj.backward_input(context, d_y, d_product);  // [tokens, intermediate]
    ops::silu_mul_backward(context, d_product, {gate, up, Tensor()},
                           {work.d_gate.values, work.d_up.values, none});
    encode(context, work.d_gate);
    encode(context, work.d_up);
    weights_.gate_proj.backward_input(context, work.d_gate, d_x);  // [tokens, hidden]
    weights_.up_proj.backward_input_add(context, work.d_up, d_x);  // [tokens, hidden]
}

void FeedForward::backward_weight(Context& context, const Operand& x, const Operand& d_y,
                                  const FeedForwardSaved& saved, const FeedForwardBackward& work,
                                  FeedForwardWeights& gradients) const {
    Linear::add_gradients(
        context, std::vector<LinearGradientRows>{
                     {work.d_gate, x, gradients.gate_proj},        // [intermediate, hidden]
                     {work.d_up, x, gradients.up_proj},            // [intermediate, hidden]
                     {d_y, saved.product, gradients.down_proj}});  // [hidden, intermediate]
}

}  // namespace hadal::model
