// Keeping experts evenly loaded: the sequence-wise balance loss (report eq. 17–20) and the bias
// update of the auxiliary-loss- free strategy (§2.1.2).
#pragma once

#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::model {

/// Σ over sequences of Σ_i f_i·P_i (eq. 17 without α), with, for a sequence of T tokens,
///     f_i = experts/(top_k·T) · tokens whose choice holds i      (eq. 18, of the choice really
///     made) P_i = 1/T Σ_t s_it / Σ_j s_jt                              (eq. 19, 20)
double balance_loss(Context& context,
                    const Tensor& scores,  // [tokens, experts] f32|f64
                    const Tensor& ids,     // [tokens, top_k] i32
                    std::span<const int64_t> starts);

/// d_scores += scale · d balance_loss / d scores; f is a constant for the gradient.
void balance_loss_backward(Context& context,
                           const Tensor& scores,  // [tokens, experts] f32|f64
                           const Tensor& ids,     // [tokens, top_k] i32
                           std::span<const int64_t> starts, double scale,
                           Tensor& d_scores);  // [tokens, experts]

/// b_i ← b_i + γ·sign(mean load − load_i); unchanged where the load is the mean.
void update_bias(std::span<const int64_t> load, double gamma, std::span<float> bias);

/// max load / mean load − 1: 0 when perfectly balanced.
double max_violation(std::span<const int64_t> load);

/// Entropy of the load's distribution over ln(experts): 1 when perfectly balanced.
double load_entropy(std::span<const int64_t> load);

}  // namespace hadal::model
