#include "model/feed_forward.h"

#include "ops/silu_mul.h"

namespace hadal::model {

FeedForwardSaved allocate_feed_forward_saved(int64_t tokens, int64_t intermediate,
                                             const Precision& precision,
                                             const ActivationMemory& memory) {
    const Shape shape{tokens, intermediate};
    return {.gate = memory.kept("gate", shape, precision.dtype),
            .up = memory.kept("up", shape, precision.dtype),
            .product = allocate_operand("product", shape, precision.dtype, memory.recomputed)};
}

FeedForwardBackward allocate_feed_forward_backward(int64_t tokens, int64_t intermediate,
                                                   const Precision& precision,
                                                   const Allocate& allocate) {
    const Shape shape{tokens, intermediate};
    return {.d_gate = allocate_operand("d_gate", shape, precision.dtype, allocate),
            .d_up = allocate_operand("d_up", shape, precision.dtype, allocate)};
}

void FeedForward::forward(Context& context, const Operand& x, FeedForwardSaved& saved,
                          Tensor& y) const {
    weights_.gate_proj.forward(context, x, saved.gate);  // [tokens, intermediate]
    weights_.up_proj.forward(context, x, saved.up);      // [tokens, intermediate]
    ops::silu_mul(context, saved.gate, saved.up, Tensor(), saved.product.values);
    weights_.down_proj.forward_add(context, saved.product, y);  // [tokens, hidden]
}

void FeedForward::recompute(Context& context, FeedForwardSaved& saved) const {
    ops::silu_mul(context, saved.gate, saved.up, Tensor(), saved.product.values);
}

void FeedForward::backward_input(Context& context, const Operand& d_y,
                                 const FeedForwardSaved& saved, FeedForwardBackward& work,
                                 Tensor& d_x) const {
    const Workspace::Scope scope(context.workspace);
    Tensor d_product = context.workspace.take(saved.gate.shape(), saved.gate.dtype());
    Tensor none;
    weights_.down_proj.backward_input(context, d_y, d_product);  // [tokens, intermediate]
    ops::silu_mul_backward(context, d_product, saved.gate, saved.up, Tensor(), work.d_gate.values,
                           work.d_up.values, none);
    weights_.gate_proj.backward_input(context, work.d_gate, d_x);  // [tokens, hidden]
    weights_.up_proj.backward_input_add(context, work.d_up, d_x);  // [tokens, hidden]
}

void FeedForward::backward_weight(Context& context, const Operand& x, const Operand& d_y,
                                  const FeedForwardSaved& saved, const FeedForwardBackward& work,
                                  FeedForwardWeights& gradients) const {
    gradients.gate_proj.add_gradient(context, work.d_gate, x);      // [intermediate, hidden]
    gradients.up_proj.add_gradient(context, work.d_up, x);          // [intermediate, hidden]
    gradients.down_proj.add_gradient(context, d_y, saved.product);  // [hidden, intermediate]
}

}  // namespace hadal::model
