#include "model/multi_token.h"

#include "ops/embedding.h"
#include "ops/rms_norm.h"

namespace hadal::model {

MtpSaved allocate_mtp_saved(const ModelConfig& config, int64_t tokens, const Precision& precision,
                            const ActivationMemory& memory) {
    const DType dtype = precision.dtype, statistics = statistics_dtype(dtype);
    const int64_t hidden = config.hidden_size;
    MtpSaved saved;
    saved.ids = memory.kept("ids", {tokens}, DType::i32);
    saved.targets = memory.kept("ids", {tokens}, DType::i32);
    saved.embedded = memory.recomputed("embedded", {tokens, hidden}, dtype);
    saved.embedded_r = memory.kept("norm statistics", {tokens}, statistics);
    saved.hidden_r = memory.kept("norm statistics", {tokens}, statistics);
    saved.joined = allocate_operand("joined", {tokens, 2 * hidden}, dtype, precision.activation(),
                                    memory.recomputed);
    saved.layer = allocate_layer_saved(config, mtp_is_moe(config), tokens, precision, memory);
    saved.output = memory.kept("output", {tokens, hidden}, dtype);
    saved.output_r = memory.kept("norm statistics", {tokens}, statistics);
    saved.normed = memory.kept("head input", {tokens, hidden}, dtype);
    return saved;
}

MtpBackward allocate_mtp_backward(const ModelConfig& config, int64_t tokens,
                                  const Precision& precision, const Allocate& allocate) {
    const int64_t hidden = config.hidden_size;
    const DType dtype = precision.dtype;
    return {.d_normed = allocate("d_normed", {tokens, hidden}, dtype),
            .d_output = allocate("d_output", {tokens, hidden}, dtype),
            .d_x = allocate_operand("d_x", {tokens, hidden}, dtype, precision.gradient(), allocate),
            .d_joined = allocate("d_joined", {tokens, 2 * hidden}, dtype),
            .d_embedded = allocate("d_embedded", {tokens, hidden}, dtype)};
}

void MtpModule::join(Context& context, const Tensor& hidden, MtpSaved& saved) const {
    const int64_t width = config_.hidden_size;
    ops::embedding(context, saved.ids, embed_tokens_, saved.embedded);
    // Embedding first: eq. 21 writes the hidden state first, the released weights have it the other
    // way round.
    Tensor left = saved.joined.values.columns(0, width);
    Tensor right = saved.joined.values.columns(width, width);
    ops::rms_norm(context, saved.embedded, weights_.enorm, config_.rms_norm_eps, left,
                  saved.embedded_r);
    ops::rms_norm(context, hidden, weights_.hnorm, config_.rms_norm_eps, right, saved.hidden_r);
    encode(context, saved.joined);
}

void MtpModule::project(Context& context, const Tensor& hidden, MtpSaved& saved) const {
    join(context, hidden, saved);
    weights_.eh_proj.forward(context, saved.joined, saved.layer.x);  // [tokens, hidden], eq. 21
}

void MtpModule::recompute(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                          MtpSaved& saved) const {
    join(context, hidden, saved);
    layer_.recompute(context, layout, saved.layer);
}

void MtpModule::norm_output(Context& context, MtpSaved& saved) const {
    ops::rms_norm(context, saved.output, weights_.shared_head_norm, config_.rms_norm_eps,
                  saved.normed, saved.output_r);
}

void MtpModule::forward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                        MtpSaved& saved) const {
    project(context, hidden, saved);
    layer_.forward(context, layout, saved.layer, saved.output);
    norm_output(context, saved);
}

void MtpModule::forward_cached(Context& context, const CachedLayout& layout, const Tensor& hidden,
                               MtpSaved& saved) const {
    project(context, hidden, saved);
    layer_.forward_cached(context, layout, saved.layer, saved.output);
    norm_output(context, saved);
}

void MtpModule::backward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                         const MtpSaved& saved, MtpBackward& work, LayerBackward& layer_work,
                         MtpGradients gradients) const {
    const int64_t width = config_.hidden_size;
    ops::rms_norm_backward_input(context, work.d_normed, saved.output, weights_.shared_head_norm,
                                 saved.output_r, /*add=*/false, work.d_output);
    ops::rms_norm_backward_weight(context, work.d_normed, saved.output, saved.output_r,
                                  gradients.weights.shared_head_norm);

    layer_.backward_input(context, layout, work.d_output, saved.layer, layer_work, work.d_x.values);
    layer_.backward_weight(context, saved.layer, layer_work, gradients.weights.layer);

    encode(context, work.d_x);
    weights_.eh_proj.backward_input(context, work.d_x, work.d_joined);  // [tokens, 2·hidden]
    const LinearGradientRows rows{work.d_x, saved.joined, gradients.weights.eh_proj};
    Linear::add_gradients(context, {&rows, 1});

    const Tensor d_left = work.d_joined.columns(0, width);       // [tokens, hidden]
    const Tensor d_right = work.d_joined.columns(width, width);  // [tokens, hidden]
    ops::rms_norm_backward_input(context, d_left, saved.embedded, weights_.enorm, saved.embedded_r,
                                 /*add=*/false, work.d_embedded);
    ops::rms_norm_backward_weight(context, d_left, saved.embedded, saved.embedded_r,
                                  gradients.weights.enorm);
    ops::embedding_backward(context, saved.ids, work.d_embedded, gradients.d_embed_tokens);
    ops::rms_norm_backward_input(context, d_right, hidden, weights_.hnorm, saved.hidden_r,
                                 /*add=*/false, gradients.d_hidden);
    ops::rms_norm_backward_weight(context, d_right, hidden, saved.hidden_r,
                                  gradients.weights.hnorm);
}

}  // namespace hadal::model
