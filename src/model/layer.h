// One decoder layer: x ← x + MLA(norm(x)); x ← x + FFN(norm(x)), the feed-forward dense or
// mixture-of-experts. Forward, and backward in two parts: input gradient ("B") and weight gradient
// ("W"), which pipeline schedules run at different times.
#pragma once

#include "core/context.h"
#include "core/tensor.h"
#include "model/attention_mla.h"
#include "model/config.h"
#include "model/experts.h"
#include "model/feed_forward.h"
#include "model/parameters.h"

namespace hadal::model {

/// What forward keeps for backward.
struct LayerSaved {
    Tensor x;        // [tokens, hidden] input of the layer
    Operand normed;  // [tokens, hidden] after input_layernorm
    Tensor r;        // [tokens] of input_layernorm
    AttentionSaved attention;
    Tensor middle;          // [tokens, hidden] x + attention
    Operand normed_middle;  // [tokens, hidden] after post_attention_layernorm
    Tensor r_middle;        // [tokens] of post_attention_layernorm
    FeedForwardSaved mlp;   // dense layers
    ExpertsSaved moe;       // MoE layers
};

/// What backward_input leaves for backward_weight.
struct LayerBackward {
    Tensor d_normed;         // [tokens, hidden]
    Tensor d_normed_middle;  // [tokens, hidden]
    Operand d_y;             // [tokens, hidden] as given to backward_input
    Operand d_middle;        // [tokens, hidden]
    AttentionBackward attention;
    FeedForwardBackward mlp;
    ExpertsBackward moe;
};

/// The layers of one model share sizes; dense and MoE layers differ, hence `layer`.
LayerSaved allocate_layer_saved(const ModelConfig& config, bool is_moe, int64_t tokens,
                                const Precision& precision, const ActivationMemory& memory);
/// Serves dense and MoE layers alike.
LayerBackward allocate_layer_backward(const ModelConfig& config, int64_t tokens,
                                      const Precision& precision, const Allocate& allocate);

/// A layer is its configuration and its weights; it owns nothing.
class Layer {
  public:
    Layer(const ModelConfig& config, bool is_moe, const LayerWeights& weights)
        : config_(config), is_moe_(is_moe), weights_(weights) {}

    /// saved.x holds the input. Writes the output to y [tokens, hidden], which is not saved.x.
    void forward(Context& context, const SequenceLayout& layout, LayerSaved& saved,
                 Tensor& y) const;

    /// The same with attention over the latent cache, for generation.
    void forward_cached(Context& context, const CachedLayout& layout, LayerSaved& saved,
                        Tensor& y) const;

    /// Fills again what forward left in memory that layers share (ActivationMemory); with such
    /// memory, call it before a layer's backward. The same bits as forward's.
    void recompute(Context& context, const SequenceLayout& layout, LayerSaved& saved) const;

    /// d_x from d_y ("B"), both [tokens, hidden], distinct. Adds the balance loss's gradient of MoE
    /// layers.
    void backward_input(Context& context, const SequenceLayout& layout, const Tensor& d_y,
                        const LayerSaved& saved, LayerBackward& work, Tensor& d_x) const;

    /// Adds to the gradients ("W"), after "B" with the same `work`.
    void backward_weight(Context& context, const LayerSaved& saved, const LayerBackward& work,
                         LayerWeights& gradients) const;

  private:
    void norm_input(Context& context, LayerSaved& saved) const;
    void norm_middle(Context& context, LayerSaved& saved) const;
    void feed_forward(Context& context, LayerSaved& saved, Tensor& y) const;

    const ModelConfig& config_;
    bool is_moe_;
    const LayerWeights& weights_;
};

}  // namespace hadal::model
