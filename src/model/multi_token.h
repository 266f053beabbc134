// Multi-token prediction (report §2.2, eq. 21–25): module k sees the hidden state of token i and
// the embedding of token i + k and predicts token i + k + 1. Embedding and head are the main
// model's.
#pragma once

#include "core/context.h"
#include "core/tensor.h"
#include "model/activation.h"
#include "model/layer.h"
#include "model/parameters.h"

namespace hadal::model {

struct MtpSaved {
    Tensor ids;         // [tokens] i32: token i + k
    Tensor targets;     // [tokens] i32: token i + k + 1, −1 where the sequence has none
    Tensor embedded;    // [tokens, hidden] Emb(t_{i+k})
    Tensor embedded_r;  // [tokens] of enorm
    Tensor hidden_r;    // [tokens] of hnorm
    Operand joined;     // [tokens, 2·hidden] enorm(embedded) | hnorm(hidden)
    LayerSaved layer;
    Tensor output;    // [tokens, hidden] h^k, eq. 22
    Tensor output_r;  // [tokens] of shared_head.norm
    Tensor normed;    // [tokens, hidden] input of the head and, normed, of the next module
};
struct MtpBackward {
    Tensor d_normed;    // [tokens, hidden]
    Tensor d_output;    // [tokens, hidden]
    Operand d_x;        // [tokens, hidden] gradient of eh_proj's output
    Tensor d_joined;    // [tokens, 2·hidden]
    Tensor d_embedded;  // [tokens, hidden]
};
MtpSaved allocate_mtp_saved(const ModelConfig& config, int64_t tokens, const Precision& precision,
                            const ActivationMemory& memory);
MtpBackward allocate_mtp_backward(const ModelConfig& config, int64_t tokens,
                                  const Precision& precision, const Allocate& allocate);

/// MTP layers follow the main ones and are MoE when the model is.
inline bool mtp_is_moe(const ModelConfig& config) {
    return config.n_routed_experts > 0;
}

struct MtpGradients {
    MtpWeights& weights;     // added to
    Tensor& d_embed_tokens;  // [vocab, hidden], added to
    Tensor& d_hidden;        // [tokens, hidden], overwritten
};

class MtpModule {
  public:
    MtpModule(const ModelConfig& config, const MtpWeights& weights, const Tensor& embed_tokens)
        : config_(config),
          weights_(weights),
          embed_tokens_(embed_tokens),
          layer_(config, mtp_is_moe(config), weights.layer) {}

    /// hidden [tokens, hidden]: the main model's after its final norm, or the previous module's
    /// `normed`. saved.ids holds the tokens. Fills saved.normed.
    void forward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                 MtpSaved& saved) const;

    /// The same over the latent cache.
    void forward_cached(Context& context, const CachedLayout& layout, const Tensor& hidden,
                        MtpSaved& saved) const;

    /// Fills again what forward left in memory that layers share, see Layer::recompute.
    void recompute(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                   MtpSaved& saved) const;

    /// From work.d_normed [tokens, hidden] all gradients of the module and of the embedding.
    void backward(Context& context, const SequenceLayout& layout, const Tensor& hidden,
                  const MtpSaved& saved, MtpBackward& work, LayerBackward& layer_work,
                  MtpGradients gradients) const;

  private:
    void join(Context& context, const Tensor& hidden, MtpSaved& saved) const;
    void project(Context& context, const Tensor& hidden, MtpSaved& saved) const;
    void norm_output(Context& context, MtpSaved& saved) const;

    const ModelConfig& config_;
    const MtpWeights& weights_;
    const Tensor& embed_tokens_;  // [vocab, hidden]
    Layer layer_;
};

}  // namespace hadal::model
