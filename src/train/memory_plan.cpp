#include "train/memory_plan.h"

#include <algorithm>

#include "model/transformer.h"

namespace hadal::train {

namespace {

/// Gives tensors without memory and adds up what they would take.
model::Allocate counter(int64_t& bytes) {
    return [&bytes](std::string_view, Shape shape, DType dtype) {
        bytes += shape.count() * size_of(dtype);
        return Tensor::over(nullptr, shape, dtype, nullptr);
    };
}

void add(MemoryPlan& plan, const std::string& name, int64_t count, int64_t bytes_of_all) {
    if (count == 0 || bytes_of_all == 0) return;
    plan.parts.push_back({.name = name, .count = count, .bytes = bytes_of_all});
}

void plan_activations(const Recipe& recipe, MemoryPlan& plan) {
    const model::ModelConfig& config = recipe.model;
    const int64_t tokens = recipe.batch.micro_batch * recipe.data.seq_len;
    const bool with_mtp = recipe.mtp.weight > 0 || recipe.mtp.late_weight > 0;
    int64_t dense = 0, moe = 0, saved = 0, main_only = 0, backward = 0;
    int64_t num_moe = 0;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i)
        num_moe += config.is_moe_layer(i) ? 1 : 0;
    const int64_t num_dense = config.num_hidden_layers - num_moe;
    model::allocate_layer_saved(config, false, tokens, recipe.dtype(), counter(dense));
    if (num_moe > 0)
        model::allocate_layer_saved(config, true, tokens, recipe.dtype(), counter(moe));
    model::allocate_saved(config, tokens, recipe.dtype(), with_mtp, counter(saved));
    model::allocate_saved(config, tokens, recipe.dtype(), false, counter(main_only));
    model::allocate_backward(config, tokens, recipe.dtype(), with_mtp, counter(backward));
    add(plan, "dense layers, kept for backward", num_dense, num_dense * dense);
    add(plan, "MoE layers, kept for backward", num_moe, num_moe * moe);
    add(plan, "MTP modules, kept for backward", config.num_nextn_predict_layers, saved - main_only);
    add(plan, "final norm, kept for backward", 1, main_only - num_dense * dense - num_moe * moe);
    add(plan, "gradients of activations", 1, backward);
    plan.activations = saved + backward;
}

}  // namespace

int64_t count_steps(const Recipe& recipe) {
    if (recipe.run.steps > 0) return recipe.run.steps;
    const optim::BatchSizeSchedule schedule = recipe.batch_schedule();
    int64_t steps = 0, tokens = 0;
    const int64_t ramp_end =
        schedule.first > 0 ? std::min(schedule.ramp_tokens, recipe.run.tokens) : 0;
    for (; tokens < ramp_end; ++steps)
        tokens += optim::batch_size(schedule, tokens) * recipe.data.seq_len;
    const int64_t step_tokens = schedule.sequences * recipe.data.seq_len;
    const int64_t left = std::max<int64_t>(0, recipe.run.tokens - tokens);
    return steps + (left + step_tokens - 1) / step_tokens;
}

MemoryPlan plan_memory(const Recipe& recipe) {
    MemoryPlan plan;
    const model::ParameterCount count = model::count_parameters(recipe.model);
    plan.parameters = count.total + count.mtp;
    plan.active_parameters = count.active;
    plan.steps = count_steps(recipe);
    plan.tokens = recipe.total_tokens();
    const bool own_master = recipe.dtype() != DType::f32;
    plan.weights = plan.parameters * size_of(recipe.dtype());
    plan.master = own_master ? plan.parameters * 4 : 0;
    plan.moments = plan.parameters * 2 * size_of(recipe.adamw().moments);
    plan.gradients = plan.parameters * 4;
    plan.snapshot_copy = recipe.snapshot.background ? 4 * plan.parameters + plan.moments : 0;
    plan_activations(recipe, plan);
    return plan;
}

double training_flops_per_token(const Recipe& recipe) {
    const model::ModelConfig& c = recipe.model;
    const auto hidden = double(c.hidden_size), heads = double(c.num_attention_heads);
    const auto keys = double(recipe.data.seq_len + 1) / 2;  // mean length of the causal half
    const auto q_dim = heads * double(c.qk_head_dim());
    double projections =
        c.q_lora_rank > 0 ? double(c.q_lora_rank) * (hidden + q_dim) : hidden * q_dim;
    projections += hidden * double(c.latent_dim());
    projections += double(c.kv_lora_rank) * heads * double(c.qk_nope_head_dim + c.v_head_dim);
    projections += heads * double(c.v_head_dim) * hidden;
    const double attention = heads * keys * double(c.qk_head_dim() + c.v_head_dim);
    const double dense = 3 * hidden * double(c.intermediate_size);
    const double moe = 3 * hidden * double(c.moe_intermediate_size) *
                           double(c.num_experts_per_tok + c.n_shared_experts) +
                       hidden * double(c.n_routed_experts);
    const double head = hidden * double(c.vocab_size);
    double products = head;
    for (int64_t i = 0; i < c.num_hidden_layers; ++i) {
        products += projections + attention + (c.is_moe_layer(i) ? moe : dense);
    }
    if (recipe.mtp.weight > 0) {
        const double feed_forward = c.n_routed_experts > 0 ? moe : dense;
        products += double(c.num_nextn_predict_layers) *
                    (2 * hidden * hidden + projections + attention + feed_forward + head);
    }
    return 3 * 2 * products;
}

}  // namespace hadal::train
