#include "model/layer.h"

#include "model/norm.h"
#include "ops/convert.h"
#include "ops/rms_norm.h"

namespace hadal::model {

LayerSaved allocate_layer_saved(const ModelConfig& config, bool is_moe, int64_t tokens,
                                const Precision& precision, const ActivationMemory& memory) {
    const DType dtype = precision.dtype, statistics = statistics_dtype(dtype);
    const Shape rows{tokens, config.hidden_size};
    LayerSaved saved;
    saved.x = memory.kept("x", rows, dtype);
    saved.normed = allocate_coded("normed", rows, dtype, precision.activation(), memory.recomputed);
    saved.r = memory.kept("norm statistics", {tokens}, statistics);
    saved.attention = allocate_attention_saved(config, tokens, precision, memory);
    saved.middle = memory.kept("middle", rows, dtype);
    saved.normed_middle =
        allocate_operand("normed_middle", rows, dtype, precision.activation(), memory.recomputed);
    saved.r_middle = memory.kept("norm statistics", {tokens}, statistics);
    if (is_moe) {
        saved.moe = allocate_experts_saved(config, tokens, precision, memory);
    } else {
        saved.mlp =
            allocate_feed_forward_saved(tokens, config.intermediate_size, precision, memory);
    }
    return saved;
}

LayerBackward allocate_layer_backward(const ModelConfig& config, int64_t tokens,
                                      const Precision& precision, const Allocate& allocate) {
    const DType dtype = precision.dtype;
    const Shape rows{tokens, config.hidden_size};
    LayerBackward work;
    work.d_normed = allocate("d_normed", rows, dtype);
    work.d_normed_middle = allocate("d_normed_middle", rows, dtype);
    work.d_y = with_tiles(Tensor(), "d_y", rows, precision.gradient(), allocate);
    work.d_middle = allocate_operand("d_middle", rows, dtype, precision.gradient(), allocate);
    work.attention = allocate_attention_backward(config, tokens, precision, allocate);
    work.mlp =
        allocate_feed_forward_backward(tokens, config.intermediate_size, precision, allocate);
    if (config.n_routed_experts > 0) {
        work.moe = allocate_experts_backward(config, tokens, precision, allocate);
    }
    return work;
}

void Layer::norm_input(Context& context, LayerSaved& saved) const {
    norm(context, saved.x, weights_.input_layernorm, config_.rms_norm_eps, saved.normed, saved.r);
}

void Layer::norm_middle(Context& context, LayerSaved& saved) const {
    norm(context, saved.middle, weights_.post_attention_layernorm, config_.rms_norm_eps,
         saved.normed_middle, saved.r_middle);
}

void Layer::feed_forward(Context& context, LayerSaved& saved, Tensor& y) const {
    norm_middle(context, saved);
    ops::copy(context, saved.middle, y);
    if (is_moe_) {
        Experts(config_, weights_.moe).forward(context, saved.normed_middle, saved.moe, y);
    } else {
        FeedForward(weights_.mlp).forward(context, saved.normed_middle, saved.mlp, y);
    }
}

void Layer::forward(Context& context, const SequenceLayout& layout, LayerSaved& saved,
                    Tensor& y) const {
    norm_input(context, saved);
    ops::copy(context, saved.x, saved.middle);
    AttentionMla(config_, weights_.self_attn)
        .forward(context, layout, saved.normed, saved.attention, saved.middle);
    feed_forward(context, saved, y);
}

void Layer::forward_cached(Context& context, const CachedLayout& layout, LayerSaved& saved,
                           Tensor& y) const {
    norm_input(context, saved);
    ops::copy(context, saved.x, saved.middle);
    AttentionMla(config_, weights_.self_attn)
        .forward_cached(context, layout, saved.normed, saved.attention, saved.middle);
    feed_forward(context, saved, y);
}

void Layer::recompute(Context& context, const SequenceLayout& layout, LayerSaved& saved) const {
    norm_input(context, saved);
    AttentionMla(config_, weights_.self_attn)
        .recompute(context, layout, saved.normed, saved.attention);
    norm_middle(context, saved);
    if (is_moe_) {
        Experts(config_, weights_.moe).recompute(context, saved.normed_middle, saved.moe);
    } else {
        FeedForward(weights_.mlp).recompute(context, saved.mlp);
    }
}

void Layer::backward_input(Context& context, const SequenceLayout& layout, const Tensor& d_y,
                           const LayerSaved& saved, LayerBackward& work, Tensor& d_x) const {
    work.d_y.values = d_y;
    encode(context, work.d_y);
    if (is_moe_) {
        Experts(config_, weights_.moe)
            .backward_input(context, layout, work.d_y, saved.moe, work.moe, work.d_normed_middle);
    } else {
        FeedForward(weights_.mlp)
            .backward_input(context, work.d_y, saved.mlp, work.mlp, work.d_normed_middle);
    }
    ops::copy(context, d_y, work.d_middle.values);  // [tokens, hidden], the residual's way
    ops::rms_norm_backward_input(context, work.d_normed_middle, saved.middle,
                                 weights_.post_attention_layernorm, saved.r_middle, /*add=*/true,
                                 work.d_middle.values);
    encode(context, work.d_middle);
    AttentionMla(config_, weights_.self_attn)
        .backward_input(context, layout, work.d_middle, saved.attention, work.attention,
                        work.d_normed);
    ops::copy(context, work.d_middle.values, d_x);
    ops::rms_norm_backward_input(context, work.d_normed, saved.x, weights_.input_layernorm, saved.r,
                                 /*add=*/true, d_x);
}

void Layer::backward_weight(Context& context, const LayerSaved& saved, const LayerBackward& work,
                            LayerWeights& gradients) const {
    if (is_moe_) {
        Experts(config_, weights_.moe)
            .backward_weight(context, saved.normed_middle, work.d_y, saved.moe, work.moe,
                             gradients.moe);
    } else {
        FeedForward(weights_.mlp)
            .backward_weight(context, saved.normed_middle, work.d_y, saved.mlp, work.mlp,
                             gradients.mlp);
    }
    ops::rms_norm_backward_weight(context, work.d_normed_middle, saved.middle, saved.r_middle,
                                  gradients.post_attention_layernorm);
    AttentionMla(config_, weights_.self_attn)
        .backward_weight(context, saved.normed, work.d_middle, saved.attention, work.attention,
                         gradients.self_attn);
    ops::rms_norm_backward_weight(context, work.d_normed, saved.x, saved.r,
                                  gradients.input_layernorm);
}

}  // namespace hadal::model
