// Mixture of experts (DeepSeekMoE, report §2.1.2, eq. 12–16): gate, dispatch, routed experts,
// combine, shared expert. No token is dropped; rows are sorted by expert and every expert's three
// products run as one list.
#pragma once

#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"
#include "model/config.h"
#include "model/feed_forward.h"
#include "model/parameters.h"

namespace hadal::model {

/// rows = tokens·num_experts_per_tok
struct ExpertsSaved {
    Tensor scores;      // [tokens, n_routed_experts] f32   s of eq. 15
    Tensor ids;         // [tokens, top_k] i32
    Tensor weights;     // [tokens, top_k] f32              g of eq. 13
    Tensor offsets;     // [n_routed_experts + 1] i64
    Tensor row_source;  // [rows] i32
    Tensor slot_row;    // [tokens, top_k] i32
    Tensor row_weight;  // [rows] f32
    Operand x_rows;     // [rows, hidden]
    KeptTiles gate;     // [rows, moe_intermediate]
    KeptTiles up;       // [rows, moe_intermediate]
    Operand product;    // [rows, moe_intermediate], the routing weight inside
    FeedForwardSaved shared;

    /// Tokens sent to each expert.
    std::vector<int64_t> load() const;
};
struct ExpertsBackward {
    Operand d_rows;   // [rows, hidden] gradient of the experts' outputs
    Operand d_gate;   // [rows, moe_intermediate]
    Operand d_up;     // [rows, moe_intermediate]
    Tensor d_logits;  // [tokens, n_routed_experts]
    FeedForwardBackward shared;
};
ExpertsSaved allocate_experts_saved(const ModelConfig& config, int64_t tokens,
                                    const Precision& precision, const ActivationMemory& memory);
ExpertsBackward allocate_experts_backward(const ModelConfig& config, int64_t tokens,
                                          const Precision& precision, const Allocate& allocate);

class Experts {
  public:
    Experts(const ModelConfig& config, const MoeWeights& weights)
        : config_(config), weights_(weights) {}

    /// y += shared(x) + Σ_k g_k·expert_k(x), eq. 12. y [tokens, hidden] holds the residual.
    void forward(Context& context, const Operand& x, ExpertsSaved& saved, Tensor& y) const;

    /// Fills again what forward left in memory that layers share: the rows sorted by expert, from
    /// x, and the products, from gate and up.
    void recompute(Context& context, const Operand& x, ExpertsSaved& saved) const;

    /// Writes d_x [tokens, hidden]; the balance loss of `layout` is part of the gradient.
    void backward_input(Context& context, const SequenceLayout& layout, const Operand& d_y,
                        const ExpertsSaved& saved, ExpertsBackward& work, Tensor& d_x) const;

    /// Adds to the gradients.
    void backward_weight(Context& context, const Operand& x, const Operand& d_y,
                         const ExpertsSaved& saved, const ExpertsBackward& work,
                         MoeWeights& gradients) const;

  private:
    void route(Context& context, const Tensor& x, ExpertsSaved& saved) const;
    void gate_backward(Context& context, const SequenceLayout& layout, const Tensor& d_row_weight,
                       const ExpertsSaved& saved, ExpertsBackward& work) const;

    const ModelConfig& config_;
    const MoeWeights& weights_;
};

}  // namespace hadal::model
