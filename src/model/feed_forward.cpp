#include "model/feed_forward.h"

#include "ops/matmul.h"
#include "ops/silu_mul.h"

namespace hadal::model {

FeedForwardSaved allocate_feed_forward_saved(int64_t tokens, int64_t intermediate, DType dtype,
                                             const Allocate& allocate) {
    return {.gate = allocate({tokens, intermediate}, dtype),
            .up = allocate({tokens, intermediate}, dtype),
            .product = allocate({tokens, intermediate}, dtype)};
}

FeedForwardBackward allocate_feed_forward_backward(int64_t tokens, int64_t intermediate,
                                                   DType dtype, const Allocate& allocate) {
    return {.d_gate = allocate({tokens, intermediate}, dtype),
            .d_up = allocate({tokens, intermediate}, dtype)};
}

void FeedForward::forward(Context& context, const Tensor& x, FeedForwardSaved& saved,
                          Tensor& y) const {
    ops::matmul_nt(context, x, weights_.gate_proj, saved.gate);  // [tokens, intermediate]
    ops::matmul_nt(context, x, weights_.up_proj, saved.up);      // [tokens, intermediate]
    ops::silu_mul(context, saved.gate, saved.up, Tensor(),
                  saved.product);                                       // [tokens, intermediate]
    ops::matmul_nt_add(context, saved.product, weights_.down_proj, y);  // [tokens, hidden]
}

void FeedForward::backward_input(Context& context, const Tensor& d_y, const FeedForwardSaved& saved,
                                 FeedForwardBackward& work, Tensor& d_x) const {
    const Workspace::Scope scope(context.workspace);
    Tensor d_product = context.workspace.take(saved.product.shape(), d_y.dtype());
    Tensor none;
    ops::matmul_nn(context, d_y, weights_.down_proj, d_product);  // [tokens, intermediate]
    ops::silu_mul_backward(context, d_product, saved.gate, saved.up, Tensor(), work.d_gate,
                           work.d_up, none);
    ops::matmul_nn(context, work.d_gate, weights_.gate_proj, d_x);  // [tokens, hidden]
    ops::matmul_nn_add(context, work.d_up, weights_.up_proj, d_x);  // [tokens, hidden]
}

void FeedForward::backward_weight(Context& context, const Tensor& x, const Tensor& d_y,
                                  const FeedForwardSaved& saved, const FeedForwardBackward& work,
                                  FeedForwardWeights& gradients) const {
    ops::matmul_tn_add(context, work.d_gate, x, gradients.gate_proj);      // [intermediate, hidden]
    ops::matmul_tn_add(context, work.d_up, x, gradients.up_proj);          // [intermediate, hidden]
    ops::matmul_tn_add(context, d_y, saved.product, gradients.down_proj);  // [hidden, intermediate]
}

}  // namespace hadal::model
