#include "model/layer.h"

#include "ops/convert.h"
#include "ops/rms_norm.h"

namespace hadal::model {

LayerSaved allocate_layer_saved(const ModelConfig& config, bool is_moe, int64_t tokens, DType dtype,
                                const Allocate& allocate) {
    const DType statistics = statistics_dtype(dtype);
    LayerSaved saved;
    saved.x = allocate({tokens, config.hidden_size}, dtype);
    saved.normed = allocate({tokens, config.hidden_size}, dtype);
    saved.r = allocate({tokens}, statistics);
    saved.attention = allocate_attention_saved(config, tokens, dtype, allocate);
    saved.middle = allocate({tokens, config.hidden_size}, dtype);
    saved.normed_middle = allocate({tokens, config.hidden_size}, dtype);
    saved.r_middle = allocate({tokens}, statistics);
    if (is_moe) {
        saved.moe = allocate_experts_saved(config, tokens, dtype, allocate);
    } else {
        saved.mlp = allocate_feed_forward_saved(tokens, config.intermediate_size, dtype, allocate);
    }
    return saved;
}

LayerBackward allocate_layer_backward(const ModelConfig& config, int64_t tokens, DType dtype,
                                      const Allocate& allocate) {
    LayerBackward work;
    work.d_normed = allocate({tokens, config.hidden_size}, dtype);
    work.d_normed_middle = allocate({tokens, config.hidden_size}, dtype);
    work.d_middle = allocate({tokens, config.hidden_size}, dtype);
    work.attention = allocate_attention_backward(config, tokens, dtype, allocate);
    work.mlp = allocate_feed_forward_backward(tokens, config.intermediate_size, dtype, allocate);
    if (config.n_routed_experts > 0) {
        work.moe = allocate_experts_backward(config, tokens, dtype, allocate);
    }
    return work;
}

void Layer::feed_forward(Context& context, LayerSaved& saved, Tensor& y) const {
    ops::rms_norm(context, saved.middle, weights_.post_attention_layernorm, config_.rms_norm_eps,
                  saved.normed_middle, saved.r_middle);
    ops::copy(context, saved.middle, y);
    if (is_moe_) {
        Experts(config_, weights_.moe).forward(context, saved.normed_middle, saved.moe, y);
    } else {
        FeedForward(weights_.mlp).forward(context, saved.normed_middle, saved.mlp, y);
    }
}

void Layer::forward(Context& context, const SequenceLayout& layout, LayerSaved& saved,
                    Tensor& y) const {
    ops::rms_norm(context, saved.x, weights_.input_layernorm, config_.rms_norm_eps, saved.normed,
                  saved.r);
    ops::copy(context, saved.x, saved.middle);
    AttentionMla(config_, weights_.self_attn)
        .forward(context, layout, saved.normed, saved.attention, saved.middle);
    feed_forward(context, saved, y);
}

void Layer::forward_cached(Context& context, const CachedLayout& layout, LayerSaved& saved,
                           Tensor& y) const {
    ops::rms_norm(context, saved.x, weights_.input_layernorm, config_.rms_norm_eps, saved.normed,
                  saved.r);
    ops::copy(context, saved.x, saved.middle);
    AttentionMla(config_, weights_.self_attn)
        .forward_cached(context, layout, saved.normed, saved.attention, saved.middle);
    feed_forward(context, saved, y);
}

void Layer::backward_input(Context& context, const SequenceLayout& layout, const Tensor& d_y,
                           const LayerSaved& saved, LayerBackward& work, Tensor& d_x) const {
    if (is_moe_) {
        Experts(config_, weights_.moe)
            .backward_input(context, layout, d_y, saved.moe, work.moe, work.d_normed_middle);
    } else {
        FeedForward(weights_.mlp)
            .backward_input(context, d_y, saved.mlp, work.mlp, work.d_normed_middle);
    }
    ops::copy(context, d_y, work.d_middle);  // the residual's way
    ops::rms_norm_backward_input(context, work.d_normed_middle, saved.middle,
                                 weights_.post_attention_layernorm, saved.r_middle, /*add=*/true,
                                 work.d_middle);
    AttentionMla(config_, weights_.self_attn)
        .backward_input(context, layout, work.d_middle, saved.attention, work.attention,
                        work.d_normed);
    ops::copy(context, work.d_middle, d_x);
    ops::rms_norm_backward_input(context, work.d_normed, saved.x, weights_.input_layernorm, saved.r,
                                 /*add=*/true, d_x);
}

void Layer::backward_weight(Context& context, const Tensor& d_y, const LayerSaved& saved,
                            const LayerBackward& work, LayerWeights& gradients) const {
    if (is_moe_) {
        Experts(config_, weights_.moe)
            .backward_weight(context, saved.normed_middle, d_y, saved.moe, work.moe, gradients.moe);
    } else {
        FeedForward(weights_.mlp)
            .backward_weight(context, saved.normed_middle, d_y, saved.mlp, work.mlp, gradients.mlp);
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
