// Causal MLA attention in its expanded form, for training and long prefill: per head a key [nope |
// rope] and a value. Report §2.1.1, eq. 1–11. Never stores a [tokens, tokens] matrix.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

struct AttentionShape {
    int64_t heads;  // num_attention_heads
    int64_t qk_nope_head_dim;
    int64_t qk_rope_head_dim;
    int64_t v_head_dim;
    double scale;  // (nope + rope)^-1/2, times YaRN's factor squared
};

struct AttentionInputs {
    const Tensor&
        q;  // [tokens, heads·(nope + rope)] bf16|f32|f64; per head nope first, q_pe rotated
    const Tensor& kv;    // [tokens, heads·(nope + v)] same type; per head k_nope, then v
    const Tensor& k_pe;  // [tokens, rope] same type, rotated, shared by all heads; rows may be
                         // strided
};
struct AttentionOutputs {
    Tensor& o;    // [tokens, heads·v] same type
    Tensor& lse;  // [tokens, heads] f32 (f64 for f64): log Σ e^score
};
/// o[t,h] = Σ_{j ≤ t} softmax_j( scale·(q_nope·k_nope + q_pe·k_pe) ) v[j,h] within t's sequence.
/// Sequence s covers tokens starts[s] … starts[s+1] − 1; starts ends with the number of tokens.
/// A row's bits depend only on its own sequence up to it: keys are taken in blocks that start at
/// multiples of a fixed size from the sequence's begin. Softmax in float32 with a running maximum;
/// `lse` is kept for backward.
void attention_prefill(Context& context, const AttentionInputs& inputs,
                       std::span<const int64_t> starts, const AttentionShape& shape,
                       AttentionOutputs outputs);

/// The same for some last positions of one sequence, whose keys and values are all there: the bits
/// that attention_prefill gives these rows.
void attention_continue(Context& context,
                        const AttentionInputs& inputs,  // q [queries, …]; kv, k_pe [tokens, …]
                        const AttentionShape& shape,
                        Tensor& o);  // [queries, heads·v]

/// What forward was given and what it made.
struct AttentionKept {
    AttentionInputs inputs;
    const Tensor& o;
    const Tensor& lse;
};
struct AttentionGradients {
    Tensor& d_q;     // [tokens, heads·(nope + rope)]
    Tensor& d_kv;    // [tokens, heads·(nope + v)]
    Tensor& d_k_pe;  // [tokens, rope]; rows may be strided
};
/// Gradients of all three inputs, overwritten. Each element is summed in a fixed order, whatever
/// the thread count. d_q and d_k_pe are gradients of the rotated values.
void attention_prefill_backward(Context& context,
                                const Tensor& d_o,  // [tokens, heads·v]
                                const AttentionKept& kept, std::span<const int64_t> starts,
                                const AttentionShape& shape, AttentionGradients gradients);

}  // namespace hadal::ops
