// MLA attention in its absorbed form over the latent cache: one shared key [c | k_pe] and the value
// c for all heads. v3-facts §2.3; report §2.1.1. Forward only: inference.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Some query tokens of one sequence and its cache, the queries' own latents included.
struct LatentSequence {
    Tensor cache;  // [length, kv_lora_rank + rope] bf16|f32|f64: c after its norm, then k_pe after
                   // rotation
    int64_t first_query;  // row of q_latent where this sequence's queries start
    int64_t query_count;  // query i sees cache rows 0 … length − query_count + i
};

/// u[t,h] = Σ_j softmax_j( scale·(q_latent[t,h]·c_j + q_pe[t,h]·k_pe_j) ) c_j
/// A row's bits depend only on its own position and cache: not on query_count, the other sequences
/// or the threads, so a prompt cut into any chunks gives the same bits as token by token.
void attention_latent(Context& context,
                      const Tensor& q_latent,  // [tokens, heads·kv_lora_rank] q_nope·W_UK
                      const Tensor& q_pe,      // [tokens, heads·rope], rotated
                      std::span<const LatentSequence> sequences, double scale,
                      Tensor& u);  // [tokens, heads·kv_lora_rank] same type

}  // namespace hadal::ops
