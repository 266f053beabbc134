// Gradients of weights are sums over tokens. They are summed sequence after sequence, each
// sequence's sum added to the gradient as a whole, so that a step's bits do not depend on how many
// of its sequences are computed at a time (batch.micro_batch). The price is smaller products where
// a micro-batch holds several sequences.
#pragma once

#include <cstdint>
#include <span>

#include "core/context.h"
#include "core/tensor.h"
#include "model/linear.h"

namespace hadal::model {

/// body(first token, number of tokens) for every sequence, in order. `starts`: begin of each
/// sequence, then the number of tokens.
template <class Body>
void for_each_sequence(std::span<const int64_t> starts, const Body& body) {
    for (size_t s = 0; s + 1 < starts.size(); ++s) body(starts[s], starts[s + 1] - starts[s]);
}

/// Linear::add_gradients over rows that are the batch's tokens.
void add_gradients(Context& context, std::span<const LinearGradientRows> list,
                   std::span<const int64_t> starts);

/// gradient += d_yᵀ·x for a weight that is no linear layer: the gate.
void add_gradient(Context& context, const Tensor& d_y, const Tensor& x,
                  std::span<const int64_t> starts, Tensor& gradient);

/// ops::rms_norm_backward_weight over rows that are the batch's tokens.
void add_rms_norm_gradient(Context& context, const Tensor& d_y, const Tensor& x, const Tensor& r,
                           std::span<const int64_t> starts, Tensor& gradient);

}  // namespace hadal::model
