// The whole model: embedding, layers, final norm, head, MTP modules; forward, and backward in two
// parts per layer.
#pragma once

#include <optional>
#include <span>
#include <vector>

#include "checkpoint/gguf.h"
#include "core/context.h"
#include "core/progress.h"
#include "core/tensor.h"
#include "model/config.h"
#include "model/layer.h"
#include "model/multi_token.h"
#include "model/parameters.h"

namespace hadal::model {

/// A model ready to run.
struct Model {
    ModelConfig config;
    Weights weights;
    Tensor
        cos_sin;  // [positions, qk_rope_head_dim] f32 (f64 for f64 weights), see rotary_scaling.h
    /// How activations meet the codes of linear layers; absent: as bf16, or there are no codes.
    std::optional<Fp8Recipe> fp8 = std::nullopt;
};

/// Reads config.json and maps the weights (see load_weights). `dtype` is the type to compute in:
/// bf16 or f32. `positions`: no sequence will be longer; 0 stands for
/// max_position_embeddings, which no larger number exceeds. `coded` as load_weights.
Model load_model(const std::filesystem::path& directory, DType dtype, int64_t positions = 0,
                 std::vector<std::string>* unknown = nullptr,
                 CodedWeights coded = CodedWeights::as_values);
/// The same of a block-FP8 checkpoint, for whole sequences only: linear layers multiply its codes
/// by quantised activations, as the training that wrote it did.
Model load_fp8_model(const std::filesystem::path& directory, int64_t positions = 0,
                     std::vector<std::string>* unknown = nullptr);
/// The model in a GGUF file: weights in BF16 and F32 stay in the mapped file where that is the type
/// to compute in, others are dequantised into memory. `assumed` receives what the file leaves open
/// (gguf_config). `positions` as load_model.
Model load_gguf_model(Context& context, const checkpoint::Gguf& file, DType dtype,
                      int64_t positions = 0, std::vector<std::string>* assumed = nullptr,
                      const ProgressCallback& progress = {});
/// How the model computes: in the type of its weights, or in FP8.
Precision precision_of(const Model& model);

/// Whole sequences for training and scoring.
struct TokenBatch {
    Tensor ids;                   // [tokens] i32, sequence after sequence
    Tensor targets;               // [tokens] i32: the id to predict at each position, −1 for none
    Tensor positions;             // [tokens] i32, 0 at each sequence's start
    std::vector<int64_t> starts;  // begin of each sequence, then the number of tokens
};
/// From rows of seq_len + 1 ids: ids are the first seq_len of each row, targets the last seq_len.
TokenBatch make_batch(const Tensor& rows);  // [sequences, seq_len + 1] i32

/// Everything a forward pass keeps for its backward pass, owned by the caller and reused from step
/// to step.
struct Saved {
    std::vector<LayerSaved> layers;
    Tensor hidden;  // [tokens, hidden] after the last layer, before the final norm
    Tensor r;       // [tokens] f32 of the final norm
    Tensor normed;  // [tokens, hidden] after the final norm
    std::vector<MtpSaved> mtp;
    bool recompute = false;  // layers share the memory of what backward computes again
};
/// What a backward pass needs besides, one layer at a time.
struct BackwardSpace {
    Tensor d_hidden;  // [tokens, hidden] gradient of the residual stream
    Tensor d_next;    // [tokens, hidden] the same one layer below
    Tensor d_normed;  // [tokens, hidden] gradient of the final norm's output
    LayerBackward layer;
    MtpBackward mtp;
};
/// Memory for `tokens` tokens of `sequences` sequences; MTP modules only if `with_mtp`.
Saved allocate_saved(const ModelConfig& config, int64_t tokens, const Precision& precision,
                     bool with_mtp, const Allocate& allocate);
BackwardSpace allocate_backward(const ModelConfig& config, int64_t tokens,
                                const Precision& precision, bool with_mtp,
                                const Allocate& allocate);

struct LossOptions {
    double main_scale = 1;     // d total / d (one token's loss): 1 / targets of the global batch
    double mtp_weight = 0;     // λ of eq. 25; 0 leaves the MTP modules out
    double balance_alpha = 0;  // α of eq. 17
    double balance_scale =
        1;  // weight of one sequence's balance loss: 1 / sequences of the global batch
};

struct LossResult {
    double loss_sum = 0;  // Σ over targets of −log p, nats
    int64_t targets = 0;
    std::vector<double> mtp_loss_sum;  // per depth
    std::vector<int64_t> mtp_targets;
    double balance_loss = 0;  // Σ over MoE layers and sequences of α Σ f P, times balance_scale
    std::vector<std::vector<int64_t>> expert_load;  // per MoE layer, MTP's last: tokens per expert
};

/// Forward through all main layers: fills saved.normed. Ids outside the vocabulary are an
/// Error(bad_input).
void forward(Context& context, const Model& model, const TokenBatch& batch, Saved& saved);

/// Forward, loss and backward; gradients are added to `gradients`.
LossResult forward_backward(Context& context, const Model& model, const TokenBatch& batch,
                            const LossOptions& options, Saved& saved, BackwardSpace& space,
                            Weights& gradients);

/// Forward and loss only; `log_probabilities` [tokens] f32 receives log p(target) when given.
LossResult evaluate(Context& context, const Model& model, const TokenBatch& batch,
                    const LossOptions& options, Saved& saved, Tensor* log_probabilities = nullptr);

/// b_i ← b_i + γ·sign(mean load − load_i) for every MoE layer (report §2.1.2); `expert_load` is of
/// the whole global batch.
void update_router_bias(const ModelConfig& config, Weights& weights,
                        std::span<const std::vector<int64_t>> expert_load, double gamma);

/// logits = hidden·lm_headᵀ in f32.   hidden [rows, hidden], logits [rows, vocab] f32 (f64 for f64)
void head_logits(Context& context, const Model& model, const Tensor& hidden, Tensor& logits);

// ---- Cached execution, for generation: the same layers, attention over the latent cache.

/// The latents of every layer, MTP modules' after the main ones: pages of 64 positions, each page
/// in all layers under one number.
struct LatentCache {
    std::vector<Tensor> layers;  // [pages·64, kv_lora_rank + rope] each, or u8: latent_rows.h
};
/// Bytes of a position in one layer. `dtype`: bf16, f32 or f64; f8_e4m3 stands for the rows of
/// ops/latent_rows.h.
int64_t latent_bytes(const ModelConfig& config, DType dtype);
/// Memory that the system gives when a page is first used. `dtype` as above.
LatentCache allocate_latent_cache(const ModelConfig& config, int64_t pages, DType dtype);

/// One sequence's part of a step.
struct CachedSequence {
    std::span<const int32_t> pages;  // of its positions
    int64_t length = 0;              // positions before the step's first
    int64_t query_count = 0;         // tokens of this step
    int64_t cached = 0;    // positions below are in the cache already: computed again, not written
    int64_t expanded = 0;  // positions below attend in expanded form, as forward does, the others
                           // in absorbed form
};

/// Runs the step's tokens (ids [tokens] i32, sequence after sequence), writes their latents into
/// their pages, and the hidden states after the final norm [tokens, hidden] to `hidden`. A row's
/// bits depend on its own sequence only, and not on how the sequence was cut into steps.
/// `expert_load`, if given, grows by the rows that went to each expert: [MoE layer][expert].
void forward_cached(Context& context, const Model& model, LatentCache& cache, const Tensor& ids,
                    std::span<const CachedSequence> sequences, Tensor& hidden,
                    std::vector<std::vector<int64_t>>* expert_load = nullptr);

struct MtpStep {
    int64_t module;          // from 0
    const Tensor& hidden;    // [tokens, hidden] of token i, after the final norm
    const Tensor& next_ids;  // [tokens] i32: token i + 1
};
/// One MTP module over the step's rows; `out` [tokens, hidden] is after shared_head.norm. Its row
/// of position i is kept in slot i + 1 of the pages, so that a slot depends on tokens up to its
/// own; `length` and `cached` count its rows, not slots.
void forward_mtp_cached(Context& context, const Model& model, LatentCache& cache,
                        const MtpStep& mtp, std::span<const CachedSequence> sequences, Tensor& out);

}  // namespace hadal::model
