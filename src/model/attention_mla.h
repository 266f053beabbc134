// Multi-head latent attention (report §2.1.1, eq. 1–11): expanded form for training and scoring,
// absorbed form over the latent cache for generation. docs/mla.md explains why both exist.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"
#include "model/config.h"
#include "model/kept_activation.h"
#include "model/parameters.h"
#include "ops/attention_latent.h"

namespace hadal::model {

struct AttentionSaved {
    Tensor q_a;  // [tokens, q_lora_rank]                    c^Q before its norm, eq. 6; empty
                 // without q_lora
    Operand q_a_normed;  // [tokens, q_lora_rank]
    Tensor q_a_r;        // [tokens] of the norm
    Tensor q;            // [tokens, heads·qk_head_dim]              eq. 7–9, rotated
    Tensor ckv;  // [tokens, kv_lora_rank + rope]            c^KV before its norm | k^R rotated, eq.
                 // 1, 3
    Operand c_normed;  // [tokens, kv_lora_rank]
    Tensor c_r;        // [tokens] of the norm
    Tensor kv;         // [tokens, heads·(nope + v)]               k^C, v^C per head, eq. 2, 5
    Operand o;         // [tokens, heads·v_head_dim]               eq. 10
    KeptE5m6 o_kept;   // of o
    Tensor lse;        // [tokens, heads] log of the softmax's sum
};
struct AttentionBackward {
    Operand d_q;          // [tokens, heads·qk_head_dim] before rotation
    Operand d_q_a;        // [tokens, q_lora_rank]
    Tensor d_q_a_normed;  // [tokens, q_lora_rank]
    Operand d_kv;         // [tokens, heads·(nope + v)]
    Operand d_ckv;        // [tokens, kv_lora_rank + rope]
    Tensor d_c_normed;    // [tokens, kv_lora_rank]
};
AttentionSaved allocate_attention_saved(const ModelConfig& config, int64_t tokens,
                                        const Precision& precision, const ActivationMemory& memory);
AttentionBackward allocate_attention_backward(const ModelConfig& config, int64_t tokens,
                                              const Precision& precision, const Allocate& allocate);

/// A step of generation as one layer sees it.
struct CachedRows {
    std::span<const int32_t> pages;  // of the sequence's positions
    int64_t length;                  // positions before the step's first
    int64_t cached;                  // positions below are in the cache; they are not written again
    int64_t first_row;               // first of this sequence's rows in the step
    int64_t query_count;             // its rows
    int64_t expanded;  // rows of positions below attend in expanded form, the others absorbed
};
struct CachedLayout {
    ops::LatentPages cache;  // this layer's
    std::span<const CachedRows> sequences;
    const Tensor& positions;  // [tokens] i32
    const Tensor& cos_sin;    // [positions, rope] f32
};

class AttentionMla {
  public:
    AttentionMla(const ModelConfig& config, const AttentionWeights& weights)
        : config_(config), weights_(weights) {}

    /// Adds to y [tokens, hidden], which holds the residual. x [tokens, hidden] is the normed
    /// input.
    void forward(Context& context, const SequenceLayout& layout, const Operand& x,
                 AttentionSaved& saved, Tensor& y) const;

    /// Fills again what forward left in memory that layers share: latent norms, queries, keys and
    /// values, from q_a and ckv; the output.
    void recompute(Context& context, const SequenceLayout& layout, const Operand& x,
                   AttentionSaved& saved) const;

    /// The same over the latent cache, into which the step's latents are written first. Rows in
    /// expanded form have forward's bits.
    void forward_cached(Context& context, const CachedLayout& layout, const Operand& x,
                        AttentionSaved& saved, Tensor& y) const;

    /// Writes d_x [tokens, hidden].
    void backward_input(Context& context, const SequenceLayout& layout, const Operand& d_y,
                        const AttentionSaved& saved, AttentionBackward& work, Tensor& d_x) const;

    /// Adds to the gradients.
    void backward_weight(Context& context, const Operand& x, const Operand& d_y,
                         const AttentionSaved& saved, const AttentionBackward& work,
                         AttentionWeights& gradients) const;

  private:
    void compress(Context& context, const Operand& x, const Tensor& positions,
                  const Tensor& cos_sin, AttentionSaved& saved) const;
    void norm_latents(Context& context, AttentionSaved& saved) const;
    void project_query(Context& context, const Tensor& positions, const Tensor& cos_sin,
                       AttentionSaved& saved) const;
    void attend_expanded(Context& context, const CachedLayout& layout, const CachedRows& rows,
                         AttentionSaved& saved) const;
    void attend_absorbed(Context& context, const CachedLayout& layout, AttentionSaved& saved) const;

    const ModelConfig& config_;
    const AttentionWeights& weights_;
};

}  // namespace hadal::model
