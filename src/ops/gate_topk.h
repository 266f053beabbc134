// The router's choice: affinities, group-limited top-k with a selection bias, combine weights.
// Report §2.1.2, eq. 12–16.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

struct GateOptions {
    enum class Scoring { sigmoid, softmax };  // V3: sigmoid. V2: softmax
    enum class GroupScore {
        sum_of_top_two,
        maximum
    };  // V3 (noaux_tc): sum of two. V2 (group_limited_greedy): maximum
    Scoring scoring = Scoring::sigmoid;
    GroupScore group_score = GroupScore::sum_of_top_two;
    int64_t n_group = 1;     // consecutive experts form a group; divides the number of experts
    int64_t topk_group = 1;  // groups a token may use; n_group means no limit
    int64_t top_k = 1;       // num_experts_per_tok
    bool norm_topk_prob = true;
    double routed_scaling_factor = 1;
};

/// scores s = sigmoid(logits) or softmax(logits); the choice is by s + bias inside the best groups
/// (the others count as −∞); weights are routed_scaling_factor · s / (Σ chosen s + 1e-20) (eq. 13;
/// the division only if norm_topk_prob), from s without the bias (eq. 16). Ties: the lower index
/// wins, for groups and for experts. Ids ascend within a row.
void gate_topk(Context& context,
               const Tensor& logits,  // [tokens, n_routed_experts] f32|f64
               const Tensor& bias,    // [n_routed_experts] f32 e_score_correction_bias, or empty
               const GateOptions& options,
               Tensor& scores,    // [tokens, n_routed_experts] like logits; s of eq. 15
               Tensor& ids,       // [tokens, top_k] i32
               Tensor& weights);  // [tokens, top_k] like logits; g of eq. 13 times the factor

/// d_scores of the weights' formula for the choice made (the choice itself has no gradient).
/// Overwrites d_scores, zero where not chosen; the balance loss adds its part before
/// gate_scores_backward.
void gate_topk_backward(Context& context,
                        const Tensor& d_weights,  // [tokens, top_k]
                        const Tensor& scores,     // [tokens, n_routed_experts]
                        const Tensor& ids,        // [tokens, top_k] i32
                        const GateOptions& options,
                        Tensor& d_scores);  // [tokens, n_routed_experts]

/// d_logits = d_scores through the sigmoid or softmax. `d_logits` may be `d_scores`.
void gate_scores_backward(Context& context,
                          const Tensor& d_scores,  // [tokens, n_routed_experts]
                          const Tensor& scores,    // [tokens, n_routed_experts]
                          const GateOptions& options,
                          Tensor& d_logits);  // [tokens, n_routed_experts]

}  // namespace hadal::ops
