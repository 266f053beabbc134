// Cached execution: the layers of transformer.cpp, with attention over the latent cache.
#include "model/transformer.h"
#include "ops/embedding.h"
#include "ops/latent_rows.h"
#include "ops/rms_norm.h"

#include <algorithm>

namespace hadal::model {

namespace {

/// Rows and positions of a step, from its sequences.
struct Step {
    Tensor positions;  // [tokens] i32
    std::pmr::vector<CachedRows> rows;
};

/// In the workspace, of the caller's scope.
Step make_step(Context& context, int64_t tokens, std::span<const CachedSequence> sequences) {
    Step step{.positions = {}, .rows = std::pmr::vector<CachedRows>(&context.workspace)};
    step.rows.reserve(sequences.size());
    step.positions = context.workspace.take({tokens}, DType::i32);
    const auto positions = step.positions.values<int32_t>();
    int64_t row = 0;
    for (const CachedSequence& sequence : sequences) {
        step.rows.push_back({.pages = sequence.pages,
                             .length = sequence.length,
                             .cached = sequence.cached,
                             .first_row = row,
                             .query_count = sequence.query_count,
                             .expanded = sequence.expanded});
        for (int64_t i = 0; i < sequence.query_count; ++i) {
            positions[size_t(row++)] = int32_t(sequence.length + i);
        }
    }
    HADAL_ASSERT(row == tokens);
    return step;
}

void add_load(std::span<const int64_t> offsets, std::vector<int64_t>& sums) {
    sums.resize(offsets.size() - 1);
    for (size_t e = 0; e < sums.size(); ++e) sums[e] += offsets[e + 1] - offsets[e];
}

ActivationMemory from_workspace(Context& context) {
    const Allocate allocate = [&context](std::string_view, Shape shape, DType dtype) {
        return context.workspace.take(shape, dtype);
    };
    return {.kept = allocate, .recomputed = allocate};
}

}  // namespace

int64_t latent_bytes(const ModelConfig& config, DType dtype) {
    if (dtype != DType::f8_e4m3) return config.latent_dim() * size_of(dtype);
    return ops::latent_row_bytes(config.kv_lora_rank, config.qk_rope_head_dim);
}

LatentCache allocate_latent_cache(const ModelConfig& config, int64_t pages, DType dtype) {
    const bool is_coded = dtype == DType::f8_e4m3;
    const int64_t columns = is_coded ? latent_bytes(config, dtype) : config.latent_dim();
    LatentCache cache;
    for (int64_t i = 0; i < config.num_hidden_layers + config.num_nextn_predict_layers; ++i) {
        cache.layers.push_back(Tensor::uninitialized({pages * ops::kLatentPageRows, columns},
                                                     is_coded ? DType::u8 : dtype));
    }
    return cache;
}

void forward_cached(Context& context, const Model& model, LatentCache& cache, const Tensor& ids,
                    std::span<const CachedSequence> sequences, Tensor& hidden,
                    std::vector<std::vector<int64_t>>* expert_load) {
    const int64_t tokens = ids.shape()[0];
    const DType dtype = model.weights.embed_tokens.dtype();
    const Workspace::Scope scope(context.workspace);
    Step step = make_step(context, tokens, sequences);
    Tensor x =
        context.workspace.take({tokens, model.config.hidden_size}, dtype);  // [tokens, hidden]
    Tensor y = context.workspace.take({tokens, model.config.hidden_size}, dtype);
    ops::embedding(context, ids, model.weights.embed_tokens, x);
    size_t moe_layer = 0;
    for (size_t i = 0; i < model.weights.layers.size(); ++i) {
        const Workspace::Scope layer_scope(context.workspace);
        const bool is_moe = model.config.is_moe_layer(int64_t(i));
        LayerSaved saved =
            allocate_layer_saved(model.config, is_moe, tokens, dtype, from_workspace(context));
        saved.x = x;
        Layer(model.config, is_moe, model.weights.layers[i])
            .forward_cached(context,
                            {.cache = {cache.layers[i]},
                             .sequences = step.rows,
                             .positions = step.positions,
                             .cos_sin = model.cos_sin},
                            saved, y);
        if (is_moe && expert_load != nullptr) {
            expert_load->resize(std::max(expert_load->size(), moe_layer + 1));
            add_load(saved.moe.offsets.values<int64_t>(), (*expert_load)[moe_layer++]);
        }
        std::swap(x, y);
    }
    Tensor r = context.workspace.take({tokens}, statistics_dtype(dtype));
    ops::rms_norm(context, x, model.weights.norm, model.config.rms_norm_eps, hidden, r);
}

void forward_mtp_cached(Context& context, const Model& model, LatentCache& cache,
                        const MtpStep& mtp, std::span<const CachedSequence> sequences,
                        Tensor& out) {
    const auto& [module, hidden, next_ids] = mtp;
    const int64_t tokens = next_ids.shape()[0];
    const Workspace::Scope scope(context.workspace);
    Step step = make_step(context, tokens, sequences);
    MtpSaved saved =
        allocate_mtp_saved(model.config, tokens, hidden.dtype(), from_workspace(context));
    saved.ids = next_ids;
    saved.normed = out;
    const ops::LatentPages pages = {cache.layers[size_t(model.config.num_hidden_layers + module)],
                                    /*shift=*/1};
    MtpModule(model.config, model.weights.mtp[size_t(module)], model.weights.embed_tokens)
        .forward_cached(context,
                        {.cache = pages,
                         .sequences = step.rows,
                         .positions = step.positions,
                         .cos_sin = model.cos_sin},
                        hidden, saved);
}

}  // namespace hadal::model
