// Softmax and cross-entropy of a chunk of rows. The caller (model/head) cuts the tokens into
// chunks, so that float32 logits of all tokens never exist at one time.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// loss[t] = log Σ_v e^{logits[t,v]} − logits[t, targets[t]];   d_logits[t,v] =
/// scale·(softmax(logits[t])[v] − [v = target]) A target of −1 gives loss 0 and a zero row. Targets
/// outside the vocabulary are an Error(bad_input). Softmax subtracts the row's maximum; sums in
/// float32 in a fixed order (f64 for f64).
void cross_entropy(
    Context& context,
    const Tensor& logits,   // [tokens, vocab] f32|f64
    const Tensor& targets,  // [tokens] i32
    double scale,           // d loss_total / d loss[t], e.g. 1 / number of targets
    Tensor& loss,           // [tokens] f32 (f64 for f64)
    Tensor& d_logits);      // [tokens, vocab] bf16|f32|f64, or empty when no gradient is wanted

/// The most probable id of each row; the lowest id wins a tie.
void argmax(Context& context,
            const Tensor& logits,  // [tokens, vocab] f32
            Tensor& ids);          // [tokens] i32

}  // namespace hadal::ops
