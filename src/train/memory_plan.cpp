#include "train/memory_plan.h"

#include <algorithm>

#include "model/linear.h"
#include "model/transformer.h"
#include "train/step_table.h"

namespace hadal::train {

namespace {

/// Adds up by name what tensors would take, and gives them without memory.
class ActivationCount {
  public:
    ActivationCount(const Recipe& recipe, const model::Precision& precision) {
        const int64_t tokens = recipe.batch.micro_batch * recipe.data.seq_len;
        const bool with_mtp = recipe.mtp.weight > 0 || recipe.mtp.late_weight > 0;
        const model::Allocate count = [this](std::string_view name, Shape shape, DType dtype) {
            PlannedActivation& part = part_named(name);
            part.count += 1;
            part.bytes += shape.count() * size_of(dtype);
            return Tensor::over(nullptr, shape, dtype, nullptr);
        };
        model::allocate_saved(recipe.model, tokens, precision, with_mtp, count);
        model::allocate_backward(recipe.model, tokens, precision, with_mtp, count);
    }

    PlannedActivation& part_named(std::string_view name) {
        const auto found = std::ranges::find(parts_, name, &PlannedActivation::name);
        if (found != parts_.end()) return *found;
        return parts_.emplace_back(PlannedActivation{.name = std::string(name)});
    }
    std::vector<PlannedActivation>& parts() {
        return parts_;
    }

  private:
    std::vector<PlannedActivation> parts_;
};

void plan_activations(const Recipe& recipe, MemoryPlan& plan) {
    ActivationCount planned(recipe, recipe.precision()), in_full(recipe, recipe.dtype());
    for (const PlannedActivation& part : in_full.parts()) {
        planned.part_named(part.name).bytes_in_full = part.bytes;
    }
    plan.parts = std::move(planned.parts());
    for (const PlannedActivation& part : plan.parts) {
        plan.activations += part.bytes;
        plan.activations_in_full += part.bytes_in_full;
    }
}

/// Bytes that codes and scales of linear layers take more than the model's type (mostly less).
int64_t fp8_weight_excess(const Recipe& recipe) {
    const model::Precision precision = recipe.precision();
    if (!precision.fp8) return 0;
    model::Weights none;
    int64_t bytes = 0;
    for (const model::Parameter& parameter : model::parameters(recipe.model, none)) {
        if (parameter.linear == nullptr) continue;
        bytes += model::code_bytes(parameter.shape, precision.fp8->weight) -
                 parameter.shape.count() * size_of(precision.dtype);
    }
    return bytes;
}

}  // namespace

MemoryPlan plan_memory(const Recipe& recipe) {
    MemoryPlan plan;
    const model::ParameterCount count = model::count_parameters(recipe.model);
    plan.parameters = count.total + count.mtp;
    plan.active_parameters = count.active;
    plan.steps = count_steps(recipe);
    plan.tokens = recipe.total_tokens();
    const bool own_master = recipe.dtype() != DType::f32;
    plan.weights = plan.parameters * size_of(recipe.dtype()) + fp8_weight_excess(recipe);
    plan.master = own_master ? plan.parameters * 4 : 0;
    plan.moments = plan.parameters * 2 * size_of(recipe.adamw().moments);
    plan.gradients = plan.parameters * 4;
    plan.average = recipe.ema.decay > 0 ? plan.parameters * 4 : 0;
    plan.snapshot_copy =
        recipe.snapshot.background ? plan.parameters * 4 + plan.moments + plan.average : 0;
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
