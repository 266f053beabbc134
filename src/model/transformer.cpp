#include "model/transformer.h"

#include <algorithm>
#include <memory>

#include "model/balance_loss.h"
#include "model/expert_pages.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "model/head.h"
#include "model/rotary_scaling.h"
#include "ops/convert.h"
#include "ops/embedding.h"
#include "ops/matmul.h"
#include "ops/rms_norm.h"

namespace hadal::model {

namespace {

SequenceLayout layout_of(const Model& model, const TokenBatch& batch, const LossOptions& options) {
    return {.starts = batch.starts,
            .positions = batch.positions,
            .cos_sin = model.cos_sin,
            .balance_alpha = options.balance_alpha,
            .balance_scale = options.balance_scale};
}

Layer layer_at(const Model& model, size_t i) {
    return Layer(model.config, model.config.is_moe_layer(int64_t(i)), model.weights.layers[i]);
}

/// Memory that one layer after the other uses: takes tensors from the begin again after restart().
class SharedMemory {
  public:
    void reserve(int64_t bytes, const Allocate& allocate) {
        memory_ = std::make_shared<Tensor>(allocate("shared by layers", {bytes}, DType::u8));
    }
    void restart() {
        used_ = 0;
    }
    Allocate allocator() {
        return [this](std::string_view, Shape shape, DType dtype) {
            const int64_t begin = used_;
            used_ += room(shape, dtype);
            HADAL_ASSERT(used_ <= memory_->shape()[0]);
            // A plan's tensors have no memory.
            std::byte* data = memory_->empty() ? nullptr : memory_->data() + begin;
            return Tensor::over(data, shape, dtype, memory_);
        };
    }
    /// Every tensor begins on a cache line.
    static int64_t room(const Shape& shape, DType dtype) {
        constexpr int64_t kLine = 64;
        return (shape.count() * size_of(dtype) + kLine - 1) / kLine * kLine;
    }

  private:
    std::shared_ptr<Tensor> memory_;  // [bytes] u8; kept alive by every tensor taken
    int64_t used_ = 0;
};

/// Bytes that the largest of the layers wants of SharedMemory.
int64_t largest_shared(const ModelConfig& config, int64_t tokens, const Precision& precision,
                       int64_t modules) {
    int64_t bytes = 0, largest = 0;
    const auto nowhere = [](std::string_view, Shape shape, DType dtype) {
        return Tensor::over(nullptr, shape, dtype, nullptr);
    };
    const ActivationMemory counter{
        .kept = nowhere, .recomputed = [&](std::string_view name, Shape shape, DType dtype) {
            bytes += SharedMemory::room(shape, dtype);
            return nowhere(name, shape, dtype);
        }};
    const auto count = [&](const auto& allocate_one) {
        bytes = 0;
        allocate_one();
        largest = std::max(largest, bytes);
    };
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        count([&] {
            allocate_layer_saved(config, config.is_moe_layer(i), tokens, precision, counter);
        });
    }
    if (modules > 0) count([&] { allocate_mtp_saved(config, tokens, precision, counter); });
    return largest;
}

/// Position i of module k takes token i + k and predicts token i + k + 1, while both exist in its
/// sequence.
void fill_mtp_ids(const TokenBatch& batch, int64_t depth, MtpSaved& saved) {
    const auto targets = batch.targets.values<int32_t>();  // the token after each position
    const auto ids = saved.ids.values<int32_t>();
    const auto next = saved.targets.values<int32_t>();
    for (size_t s = 0; s + 1 < batch.starts.size(); ++s) {
        const int64_t end = batch.starts[s + 1];
        for (int64_t t = batch.starts[s]; t < end; ++t) {
            const int64_t input = t + depth - 1;  // targets[input] is token t + depth
            const bool has_input = input < end && targets[size_t(input)] >= 0;
            const bool has_target = has_input && input + 1 < end && targets[size_t(input) + 1] >= 0;
            // Attention is causal, so that rows past the end of a sequence, given token 0, disturb
            // no other.
            ids[size_t(t)] = has_input ? targets[size_t(input)] : 0;
            next[size_t(t)] = has_target ? targets[size_t(input) + 1] : -1;
        }
    }
}

/// Forward of all modules; `saved.normed` is the first one's hidden state.
void forward_mtp(Context& context, const Model& model, const TokenBatch& batch,
                 const SequenceLayout& layout, Saved& saved) {
    for (size_t k = 0; k < saved.mtp.size(); ++k) {
        fill_mtp_ids(batch, int64_t(k) + 1, saved.mtp[k]);
        const Tensor& hidden = k == 0 ? saved.normed : saved.mtp[k - 1].normed;
        MtpModule(model.config, model.weights.mtp[k], model.weights.embed_tokens)
            .forward(context, layout, hidden, saved.mtp[k]);
    }
}

/// λ/D · main_scale (eq. 24, 25): every module's sum is divided by the number of tokens, as the
/// report writes it.
double mtp_scale(const Saved& saved, const LossOptions& options) {
    return options.mtp_weight / double(saved.mtp.size()) * options.main_scale;
}

/// Where backward works and where it adds.
struct BackwardTargets {
    BackwardSpace& space;
    Weights& gradients;
};

/// Loss and backward of the MTP modules, the deepest first. Leaves in space.d_normed what they
/// contribute to the gradient of saved.normed.
void backward_mtp(Context& context, const Model& model, const SequenceLayout& layout,
                  const LossOptions& options, Saved& saved, BackwardTargets targets,
                  LossResult& result) {
    auto& [space, gradients] = targets;
    Tensor& d_head =
        model.config.tie_word_embeddings ? gradients.embed_tokens : gradients.lm_head.weight;
    space.mtp.d_normed.fill_zero();
    for (size_t k = saved.mtp.size(); k-- > 0;) {
        const HeadLoss loss = head_loss(context, saved.mtp[k].normed, model.weights.lm_head,
                                        saved.mtp[k].targets, mtp_scale(saved, options),
                                        {.d_hidden = &space.mtp.d_normed, .d_head = &d_head});
        result.mtp_loss_sum[k] = loss.loss_sum;
        result.mtp_targets[k] = loss.targets;
        const Tensor& hidden = k == 0 ? saved.normed : saved.mtp[k - 1].normed;
        const MtpModule module(model.config, model.weights.mtp[k], model.weights.embed_tokens);
        if (saved.recompute) module.recompute(context, layout, hidden, saved.mtp[k]);
        module.backward(context, layout, hidden, saved.mtp[k], space.mtp, space.layer,
                        {gradients.mtp[k], gradients.embed_tokens, space.d_normed});
        if (k > 0) ops::copy(context, space.d_normed, space.mtp.d_normed);
    }
}

void add_expert_loads(Context& context, const LayerSaved& saved, const TokenBatch& batch,
                      const LossOptions& options, LossResult& result) {
    result.expert_load.push_back(saved.moe.load());
    if (options.balance_alpha != 0) {
        result.balance_loss += options.balance_alpha * options.balance_scale *
                               balance_loss(context, saved.moe.scores, saved.moe.ids, batch.starts);
    }
}

void count_experts(Context& context, const Model& model, const TokenBatch& batch,
                   const LossOptions& options, const Saved& saved, LossResult& result) {
    for (size_t i = 0; i < saved.layers.size(); ++i) {
        if (model.config.is_moe_layer(int64_t(i))) {
            add_expert_loads(context, saved.layers[i], batch, options, result);
        }
    }
    if (options.mtp_weight == 0 || !mtp_is_moe(model.config)) return;
    for (const MtpSaved& mtp : saved.mtp)
        add_expert_loads(context, mtp.layer, batch, options, result);
}

Tensor table_for(const ModelConfig& config, int64_t positions, DType dtype) {
    const int64_t most = config.max_position_embeddings;
    return rotary_table(config, positions > 0 ? std::min(positions, most) : most,
                        statistics_dtype(dtype));
}

LossResult empty_result(const Saved& saved) {
    LossResult result;
    result.mtp_loss_sum.resize(saved.mtp.size());
    result.mtp_targets.resize(saved.mtp.size());
    return result;
}

}  // namespace

Model load_model(const std::filesystem::path& directory, DType dtype, int64_t positions,
                 std::vector<std::string>* unknown, CodedWeights coded) {
    const auto files = checkpoint::HuggingFace::open(directory);
    Model model;
    model.config = stored_config(files);
    model.weights = load_weights(model.config, files, dtype, unknown, coded);
    bring_experts_when_chosen(model.weights);
    model.cos_sin = table_for(model.config, positions, dtype);
    return model;
}

Model load_fp8_model(const std::filesystem::path& directory, int64_t positions,
                     std::vector<std::string>* unknown) {
    const auto files = checkpoint::HuggingFace::open(directory);
    Model model;
    model.config = stored_config(files);
    model.weights = load_codes(model.config, files, unknown);
    model.fp8 = Fp8Recipe();
    model.cos_sin = table_for(model.config, positions, DType::bf16);
    return model;
}

Model load_gguf_model(Context& context, const checkpoint::Gguf& file, DType dtype,
                      int64_t positions, std::vector<std::string>* assumed,
                      const ProgressCallback& progress) {
    Model model;
    GgufConfig found = gguf_config(file);
    model.config = found.config;
    if (assumed != nullptr) *assumed = std::move(found.assumed);
    model.weights = GgufWeights(file, model.config).load(context, dtype, progress);
    bring_experts_when_chosen(model.weights);
    model.cos_sin = table_for(model.config, positions, dtype);
    return model;
}

Precision precision_of(const Model& model) {
    if (model.fp8) return Precision(*model.fp8);
    return model.weights.embed_tokens.dtype();
}

TokenBatch make_batch(const Tensor& rows) {
    const auto [sequences, width] = rows.shape<2>();
    const int64_t length = width - 1;
    TokenBatch batch;
    batch.ids = Tensor::uninitialized({sequences * length}, DType::i32);
    batch.targets = Tensor::uninitialized({sequences * length}, DType::i32);
    batch.positions = Tensor::uninitialized({sequences * length}, DType::i32);
    for (int64_t s = 0; s < sequences; ++s) {
        const auto row = rows.row<int32_t>(s);
        batch.starts.push_back(s * length);
        for (int64_t i = 0; i < length; ++i) {
            const auto t = size_t(s * length + i);
            batch.ids.values<int32_t>()[t] = row[size_t(i)];
            batch.targets.values<int32_t>()[t] = row[size_t(i) + 1];
            batch.positions.values<int32_t>()[t] = int32_t(i);
        }
    }
    batch.starts.push_back(sequences * length);
    return batch;
}

Saved allocate_saved(const ModelConfig& config, int64_t tokens, const Precision& precision,
                     bool with_mtp, const Allocate& allocate) {
    const DType dtype = precision.dtype;
    const int64_t modules = with_mtp ? config.num_nextn_predict_layers : 0;
    SharedMemory shared;
    const ActivationMemory memory{
        .kept = allocate, .recomputed = precision.recompute ? shared.allocator() : allocate};
    if (precision.recompute) {
        shared.reserve(largest_shared(config, tokens, precision, modules), allocate);
    }
    Saved saved;
    saved.recompute = precision.recompute;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        shared.restart();
        saved.layers.push_back(
            allocate_layer_saved(config, config.is_moe_layer(i), tokens, precision, memory));
    }
    saved.hidden = allocate("last hidden", {tokens, config.hidden_size}, dtype);
    saved.r = allocate("norm statistics", {tokens}, statistics_dtype(dtype));
    saved.normed = allocate("head input", {tokens, config.hidden_size}, dtype);
    for (int64_t k = 0; k < modules; ++k) {
        shared.restart();
        saved.mtp.push_back(allocate_mtp_saved(config, tokens, precision, memory));
    }
    return saved;
}

BackwardSpace allocate_backward(const ModelConfig& config, int64_t tokens,
                                const Precision& precision, bool with_mtp,
                                const Allocate& allocate) {
    const Shape rows{tokens, config.hidden_size};
    BackwardSpace space;
    space.d_hidden = allocate("d_hidden", rows, precision.dtype);
    space.d_next = allocate("d_next", rows, precision.dtype);
    space.d_normed = allocate("d_normed", rows, precision.dtype);
    space.layer = allocate_layer_backward(config, tokens, precision, allocate);
    if (with_mtp && config.num_nextn_predict_layers > 0) {
        space.mtp = allocate_mtp_backward(config, tokens, precision, allocate);
    }
    return space;
}

void forward(Context& context, const Model& model, const TokenBatch& batch, Saved& saved) {
    const SequenceLayout layout = layout_of(model, batch, {});
    ops::embedding(context, batch.ids, model.weights.embed_tokens, saved.layers.front().x);
    for (size_t i = 0; i < saved.layers.size(); ++i) {
        Tensor& y = i + 1 < saved.layers.size() ? saved.layers[i + 1].x : saved.hidden;
        layer_at(model, i).forward(context, layout, saved.layers[i], y);
    }
    ops::rms_norm(context, saved.hidden, model.weights.norm, model.config.rms_norm_eps,
                  saved.normed, saved.r);
}

LossResult evaluate(Context& context, const Model& model, const TokenBatch& batch,
                    const LossOptions& options, Saved& saved, Tensor* log_probabilities) {
    forward(context, model, batch, saved);
    LossResult result = empty_result(saved);
    const HeadLoss loss = head_loss(context, saved.normed, model.weights.lm_head, batch.targets, 0,
                                    {}, log_probabilities);
    result.loss_sum = loss.loss_sum;
    result.targets = loss.targets;
    if (options.mtp_weight != 0) {
        forward_mtp(context, model, batch, layout_of(model, batch, options), saved);
        for (size_t k = 0; k < saved.mtp.size(); ++k) {
            const HeadLoss mtp_loss = head_loss(context, saved.mtp[k].normed, model.weights.lm_head,
                                                saved.mtp[k].targets, 0, {});
            result.mtp_loss_sum[k] = mtp_loss.loss_sum;
            result.mtp_targets[k] = mtp_loss.targets;
        }
    }
    count_experts(context, model, batch, options, saved, result);
    return result;
}

LossResult forward_backward(Context& context, const Model& model, const TokenBatch& batch,
                            const LossOptions& options, Saved& saved, BackwardSpace& space,
                            Weights& gradients) {
    const SequenceLayout layout = layout_of(model, batch, options);
    forward(context, model, batch, saved);
    LossResult result = empty_result(saved);
    if (options.mtp_weight != 0 && !saved.mtp.empty()) {
        forward_mtp(context, model, batch, layout, saved);
        backward_mtp(context, model, layout, options, saved, {space, gradients}, result);
    } else {
        space.d_normed.fill_zero();
    }
    Tensor& d_head =
        model.config.tie_word_embeddings ? gradients.embed_tokens : gradients.lm_head.weight;
    const HeadLoss loss =
        head_loss(context, saved.normed, model.weights.lm_head, batch.targets, options.main_scale,
                  {.d_hidden = &space.d_normed, .d_head = &d_head});
    result.loss_sum = loss.loss_sum;
    result.targets = loss.targets;

    ops::rms_norm_backward_input(context, space.d_normed, saved.hidden, model.weights.norm, saved.r,
                                 /*add=*/false, space.d_hidden);
    ops::rms_norm_backward_weight(context, space.d_normed, saved.hidden, saved.r, gradients.norm);
    for (size_t i = saved.layers.size(); i-- > 0;) {
        const Layer layer = layer_at(model, i);
        if (saved.recompute) layer.recompute(context, layout, saved.layers[i]);
        layer.backward_input(context, layout, space.d_hidden, saved.layers[i], space.layer,
                             space.d_next);
        layer.backward_weight(context, saved.layers[i], space.layer, gradients.layers[i]);
        std::swap(space.d_hidden, space.d_next);
    }
    ops::embedding_backward(context, batch.ids, space.d_hidden, gradients.embed_tokens);
    count_experts(context, model, batch, options, saved, result);
    return result;
}

void update_router_bias(const ModelConfig& config, Weights& weights,
                        std::span<const std::vector<int64_t>> expert_load, double gamma) {
    size_t next = 0;
    const auto update = [&](MoeWeights& moe) {
        if (next < expert_load.size()) {
            update_bias(expert_load[next++], gamma, moe.e_score_correction_bias.values<float>());
        }
    };
    for (size_t i = 0; i < weights.layers.size(); ++i) {
        if (config.is_moe_layer(int64_t(i))) update(weights.layers[i].moe);
    }
    if (!mtp_is_moe(config)) return;
    for (MtpWeights& mtp : weights.mtp) update(mtp.layer.moe);
}

void head_logits(Context& context, const Model& model, const Tensor& hidden, Tensor& logits) {
    model.weights.lm_head.forward(context, {.values = hidden, .fp8 = {}}, logits);
}

}  // namespace hadal::model
