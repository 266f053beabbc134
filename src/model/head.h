// Output head and loss, chunk by chunk: float32 logits of all tokens never exist at one time.
#pragma once

#include "core/context.h"
#include "core/tensor.h"
#include "model/linear.h"

namespace hadal::model {

struct HeadLoss {
    double loss_sum = 0;  // Σ over targets of −log p(target), nats
    int64_t targets = 0;
};

/// Where the gradients go; all added to. Each may be null.
struct HeadGradients {
    Tensor* d_hidden = nullptr;  // [tokens, hidden]
    Tensor* d_head = nullptr;    // [vocab, hidden] f32
};

/// Cross-entropy of hidden·headᵀ against `targets`. `scale` is d total / d (one token's loss).
/// `log_probabilities` [tokens] f32 receives log p(target), 0 where there is no target.
HeadLoss head_loss(Context& context,
                   const Tensor& hidden,   // [tokens, hidden], after the final norm
                   const Linear& head,     // [vocab, hidden]; backward wants its values
                   const Tensor& targets,  // [tokens] i32, −1 for none
                   double scale, HeadGradients gradients, Tensor* log_probabilities = nullptr);

}  // namespace hadal::model
