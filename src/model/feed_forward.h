// The gated feed-forward network of dense layers and of the shared experts.
#pragma once

#include <vector>

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"
#include "model/kept_activation.h"
#include "model/parameters.h"

namespace hadal::model {

struct FeedForwardSaved {
    KeptTiles gate;   // [tokens, intermediate]
    KeptTiles up;     // [tokens, intermediate]
    Operand product;  // [tokens, intermediate]
};
struct FeedForwardBackward {
    Operand d_gate;  // [tokens, intermediate]
    Operand d_up;    // [tokens, intermediate]
};
FeedForwardSaved allocate_feed_forward_saved(int64_t tokens, int64_t intermediate,
                                             const Precision& precision,
                                             const ActivationMemory& memory);
FeedForwardBackward allocate_feed_forward_backward(int64_t tokens, int64_t intermediate,
                                                   const Precision& precision,
                                                   const Allocate& allocate);

/// y += W_down · (silu(W_gate · x) ⊙ W_up · x)
class FeedForward {
  public:
    explicit FeedForward(const FeedForwardWeights& weights) : weights_(weights) {}

    /// Adds to y [tokens, hidden], which holds the residual.
    void forward(Context& context, const Operand& x, FeedForwardSaved& saved, Tensor& y) const;
    /// The same in parts, whose products the caller runs together with others: those of gate and
    /// up are appended to a list; activate makes their product; and that of down is appended, which
    /// adds to y.
    void append_projections(const Operand& x, FeedForwardSaved& saved, LinearList& list) const;
    static void activate(Context& context, FeedForwardSaved& saved);
    void append_down(const FeedForwardSaved& saved, const Tensor& y, LinearList& list) const;

    /// Fills again what forward left in memory that layers share: the product, from gate and up.
    void recompute(Context& context, FeedForwardSaved& saved) const;

    /// "B" of a schedule: writes d_x [tokens, hidden].
    void backward_input(Context& context, const Operand& d_y, const FeedForwardSaved& saved,
                        FeedForwardBackward& work, Tensor& d_x) const;

    /// "W": adds to the gradients; may run much later than "B".
    void backward_weight(Context& context, const Operand& x, const Operand& d_y,
                         const FeedForwardSaved& saved, const FeedForwardBackward& work,
                         FeedForwardWeights& gradients) const;

  private:
    const FeedForwardWeights& weights_;
};

}  // namespace hadal::model
