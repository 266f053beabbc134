#include "model/multi_token.h"

#include "ops/embedding.h"
#include "ops/matmul.h"
#include "ops/rms_norm.h"

namespace hadal::model {

MtpSaved allocate_mtp_saved(const ModelConfig& config, int64_t tokens, DType dtype,
                            const Allocate& allocate) {
    const DType statistics = statistics_dtype(dtype);
    const int64_t hidden = config.hidden_size;
    MtpSaved saved;
    saved.ids = allocate({tokens}, DType::i32);
    saved.targets = allocate({tokens}, DType::i32);
    saved.embedded = allocate({tokens, hidden}, dtype);
    saved.embedded_r = allocate({tokens}, statistics);
    saved.hidden_r = allocate({tokens}, statistics);
    saved.joined = allocate({tokens, 2 * hidden}, dtype);
    saved.layer = allocate_layer_saved(config, mtp_is_moe(config), tokens, dtype, allocate);
    saved.output = allocate({tokens, hidden}, dtype);
    saved.output_r = allocate({tokens}, statistics);
    saved.normed = allocate({tokens, hidden}, dtype);
    return saved;
}

MtpBackward allocate_mtp_backward(const ModelConfig& config, int64_t tokens, DType dtype,
                                  const Allocate& allocate) {
    const int64_t hidden = config.hidden_size;
    return {.d_normed = allocate({tokens, hidden}, dtype),
            .d_output = allocate({tokens, hidden}, dtype),
            .d_x = allocate({tokens, hidden}, dtype),
            .d_joined = allocate({tokens, 2 * hidden}, dtype),
            .d_embedded = allocate({tokens, hidden}, dtype)};
}

void MtpModule::join(Context& context, const Tensor& hidden, MtpSaved& saved) const {
    const int64_t width = config_.hidden_size;
    ops::embedding(context, saved.ids, embed_tokens_, saved.embedded);
    // Embedding first: eq. 21 writes the hidden state first, the released weights have it the other
    // way round.
    Tensor left = saved.joined.columns(0, width);
    Tensor right = saved.joined.columns(width, width);
    ops::rms_norm(context, saved.embedded, weights_.enorm, config_.rms_norm_eps, left,
                  saved.embedded_r);
    ops::rms_norm(context, hidden, weights_.hnorm, config_.rms_norm_eps, right, saved.hidden_r);
    ops::matmul_nt(context, saved.joined, weights_.eh_proj, saved.layer.x);
}

void MtpModule::norm_output(Context& context, MtpSaved& saved) const {
    ops::rms_norm(context, saved.output, weights_.shared_head_norm, config_.rms_norm_eps,
                  saved.normed, saved.output_r);
}

void MtpModule::forward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                        MtpSaved& saved) const {
    join(context, hidden, saved);
    layer_.forward(context, layout, saved.layer, saved.output);
    norm_output(context, saved);
}

void MtpModule::forward_cached(Context& context, const CachedLayout& layout, const Tensor& hidden,
                               MtpSaved& saved) const {
    join(context, hidden, saved);
    layer_.forward_cached(context, layout, saved.layer, saved.output);
    norm_output(context, saved);
}

void MtpModule::backward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                         const MtpSaved& saved, MtpBackward& work, LayerBackward& layer_work,
                         MtpWeights& gradients, Tensor& d_embed_tokens, Tensor& d_hidden) const {
    const int64_t width = config_.hidden_size;
    ops::rms_norm_backward_input(context, work.d_normed, saved.output, weights_.shared_head_norm,
                                 saved.output_r, /*add=*/false, work.d_output);
    ops::rms_norm_backward_weight(context, work.d_normed, saved.output, saved.output_r,
                                  gradients.shared_head_norm);

    layer_.backward_input(context, layout, work.d_output, saved.layer, layer_work, work.d_x);
    layer_.backward_weight(context, work.d_output, saved.layer, layer_work, gradients.layer);

    ops::matmul_nn(context, work.d_x, weights_.eh_proj, work.d_joined);
    ops::matmul_tn_add(context, work.d_x, saved.joined, gradients.eh_proj);

    const Tensor d_left = work.d_joined.columns(0, width);
    const Tensor d_right = work.d_joined.columns(width, width);
    ops::rms_norm_backward_input(context, d_left, saved.embedded, weights_.enorm, saved.embedded_r,
                                 /*add=*/false, work.d_embedded);
    ops::rms_norm_backward_weight(context, d_left, saved.embedded, saved.embedded_r,
                                  gradients.enorm);
    ops::embedding_backward(context, saved.ids, work.d_embedded, d_embed_tokens);
    ops::rms_norm_backward_input(context, d_right, hidden, weights_.hnorm, saved.hidden_r,
                                 /*add=*/false, d_hidden);
    ops::rms_norm_backward_weight(context, d_right, hidden, saved.hidden_r, gradients.hnorm);
}

}  // namespace hadal::model
