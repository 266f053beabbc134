#include "model/feed_forward.h"

#include <vector>

#include "model/swiglu.h"

namespace hadal::model {

FeedForwardSaved allocate_feed_forward_saved(int64_t tokens, int64_t intermediate,
                                             const Precision& precision,
                                             const ActivationMemory& memory) {
    const Shape shape{tokens, intermediate};
    return {.gate = allocate_kept_tiles("gate", shape, precision, memory),
            .up = allocate_kept_tiles("up", shape, precision, memory),
            .product = allocate_coded("product", shape, precision.dtype, precision.activation(),
                                      memory.recomputed)};
}

FeedForwardBackward allocate_feed_forward_backward(int64_t tokens, int64_t intermediate,
                                                   const Precision& precision,
                                                   const Allocate& allocate) {
    const auto operand = [&](std::string_view name) {
        return allocate_coded(name, {tokens, intermediate}, precision.dtype, precision.gradient(),
                              allocate);
    };
    return {.d_gate = operand("d_gate"), .d_up = operand("d_up")};
}

void FeedForward::forward(Context& context, const Operand& x, FeedForwardSaved& saved,
                          Tensor& y) const {
    const Workspace::Scope scope(context.workspace);
    LinearList list(&context.workspace);
    append_projections(x, saved, list);
    Linear::forward(context, list);
    activate(context, saved);
    list.clear();
    append_down(saved, y, list);
    Linear::forward(context, list);
}

void FeedForward::append_projections(const Operand& x, FeedForwardSaved& saved,
                                     LinearList& list) const {
    list.push_back({x, weights_.gate_proj, saved.gate.values});  // [tokens, intermediate]
    list.push_back({x, weights_.up_proj, saved.up.values});      // [tokens, intermediate]
}

void FeedForward::activate(Context& context, FeedForwardSaved& saved) {
    swiglu(context, {saved.gate, saved.up, Tensor()}, saved.product);
}

void FeedForward::append_down(const FeedForwardSaved& saved, const Tensor& y,
                              LinearList& list) const {
    list.push_back({saved.product, weights_.down_proj, y, /*add=*/true});  // [tokens, hidden]
}

void FeedForward::recompute(Context& context, FeedForwardSaved& saved) const {
    swiglu_again(context, {saved.gate, saved.up, Tensor()}, saved.product);
}

void FeedForward::backward_input(Context& context, const Operand& d_y,
                                 const FeedForwardSaved& saved, FeedForwardBackward& work,
                                 Tensor& d_x) const {
    const Workspace::Scope scope(context.workspace);
    const Tensor& gate = saved.gate.values;
    Tensor d_product = context.workspace.take(gate.shape(), gate.dtype());
    Tensor none;
    Operand product = saved.product;                             // a handle
    weights_.down_proj.backward_input(context, d_y, d_product);  // [tokens, intermediate]
    swiglu_backward(context, d_product, {saved.gate, saved.up, Tensor()}, product, work.d_gate,
                    work.d_up, none);
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
