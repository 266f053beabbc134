#include "model/experts.h"

#include "model/balance_loss.h"
#include "model/expert_pages.h"
#include "model/swiglu.h"
#include "ops/convert.h"
#include "ops/gate_topk.h"
#include "ops/matmul.h"
#include "ops/permute.h"

namespace hadal::model {

namespace {

/// Appends one product for each expert that has rows: those of `operand` through expert e's
/// `linear` to those of `result`.
void add_products(const std::vector<FeedForwardWeights>& experts,
                  Linear FeedForwardWeights::* linear, const ExpertsSaved& saved,
                  const Operand& operand, const Tensor& result, LinearList& list) {
    const auto offsets = saved.offsets.values<int64_t>();
    for (size_t e = 0; e < experts.size(); ++e) {
        const int64_t begin = offsets[e];
        const int64_t count = offsets[e + 1] - begin;
        if (count == 0) continue;
        list.push_back({operand.rows(begin, count), experts[e].*linear, result.rows(begin, count)});
    }
}

}  // namespace

std::vector<int64_t> ExpertsSaved::load() const {
    const auto begins = offsets.values<int64_t>();
    std::vector<int64_t> load;
    for (size_t e = 0; e + 1 < begins.size(); ++e) load.push_back(begins[e + 1] - begins[e]);
    return load;
}

ExpertsSaved allocate_experts_saved(const ModelConfig& config, int64_t tokens,
                                    const Precision& precision, const ActivationMemory& memory) {
    const int64_t experts = config.n_routed_experts;
    const int64_t top_k = config.num_experts_per_tok;
    const int64_t rows = tokens * top_k;
    const int64_t intermediate = config.moe_intermediate_size;
    const DType dtype = precision.dtype, statistics = statistics_dtype(dtype);
    ExpertsSaved saved;
    saved.scores = memory.kept("scores", {tokens, experts}, statistics);
    saved.ids = memory.kept("routing", {tokens, top_k}, DType::i32);
    saved.weights = memory.kept("routing", {tokens, top_k}, statistics);
    saved.offsets = memory.kept("routing", {experts + 1}, DType::i64);
    saved.row_source = memory.kept("routing", {rows}, DType::i32);
    saved.slot_row = memory.kept("routing", {tokens, top_k}, DType::i32);
    saved.row_weight = memory.kept("routing", {rows}, statistics);
    saved.x_rows = allocate_gathered("x_rows", {rows, config.hidden_size}, dtype,
                                     precision.activation(), memory.recomputed);
    saved.gate = allocate_kept_tiles("gate", {rows, intermediate}, precision, memory);
    saved.up = allocate_kept_tiles("up", {rows, intermediate}, precision, memory);
    saved.product = allocate_coded("product", {rows, intermediate}, dtype, precision.activation(),
                                   memory.recomputed);
    if (config.n_shared_experts > 0) {
        saved.shared = allocate_feed_forward_saved(tokens, config.n_shared_experts * intermediate,
                                                   precision, memory);
    }
    return saved;
}

ExpertsBackward allocate_experts_backward(const ModelConfig& config, int64_t tokens,
                                          const Precision& precision, const Allocate& allocate) {
    const DType dtype = precision.dtype;
    const int64_t rows = tokens * config.num_experts_per_tok;
    const int64_t intermediate = config.moe_intermediate_size;
    ExpertsBackward work;
    const auto format = precision.gradient();
    work.d_rows = allocate_gathered("d_rows", {rows, config.hidden_size}, dtype, format, allocate);
    work.d_gate = allocate_coded("d_gate", {rows, intermediate}, dtype, format, allocate);
    work.d_up = allocate_coded("d_up", {rows, intermediate}, dtype, format, allocate);
    work.d_logits = allocate("d_logits", {tokens, config.n_routed_experts}, dtype);
    if (config.n_shared_experts > 0) {
        work.shared = allocate_feed_forward_backward(tokens, config.n_shared_experts * intermediate,
                                                     precision, allocate);
    }
    return work;
}

void Experts::route(Context& context, const Tensor& x, ExpertsSaved& saved) const {
    const Workspace::Scope scope(context.workspace);
    // Products of bf16 are exact in float32 and the sum is float32: the router runs in float32 in
    // every model.
    // [tokens, experts] f32
    Tensor logits = context.workspace.take(saved.scores.shape(), saved.scores.dtype());
    ops::matmul_nt(context, x, weights_.gate, logits);
    ops::gate_topk(context, logits, weights_.e_score_correction_bias, config_.gate_options(),
                   saved.scores, saved.ids, saved.weights);
    ops::expert_order(context, saved.ids, saved.offsets.values<int64_t>(), saved.row_source,
                      saved.slot_row);
    ops::gather_values(context, saved.weights, saved.row_source, saved.row_weight);
}

void Experts::forward(Context& context, const Operand& x, ExpertsSaved& saved, Tensor& y) const {
    route(context, x.values, saved);
    if (weights_.pages) weights_.pages->bring(weights_.experts, saved.offsets.values<int64_t>());
    gather(context, x, saved.row_source, config_.num_experts_per_tok, saved.x_rows);
    const auto& experts = weights_.experts;
    const FeedForward shared(weights_.shared_experts);
    const bool has_shared = config_.n_shared_experts > 0;
    const Workspace::Scope scope(context.workspace);
    LinearList list(&context.workspace);  // gate and up of all experts in one fork/join
    list.reserve(2 * experts.size() + 2);
    add_products(experts, &FeedForwardWeights::gate_proj, saved, saved.x_rows, saved.gate.values,
                 list);
    add_products(experts, &FeedForwardWeights::up_proj, saved, saved.x_rows, saved.up.values, list);
    if (has_shared) shared.append_projections(x, saved.shared, list);
    Linear::forward(context, list);  // [rows, moe_intermediate], twice
    swiglu(context, {saved.gate, saved.up, saved.row_weight}, saved.product);
    if (has_shared) FeedForward::activate(context, saved.shared);
    Tensor rows =  // [rows, hidden]
        context.workspace.take({saved.row_source.count(), config_.hidden_size}, y.dtype());
    list.clear();
    if (has_shared) shared.append_down(saved.shared, y, list);
    add_products(experts, &FeedForwardWeights::down_proj, saved, saved.product, rows, list);
    Linear::forward(context, list);  // [rows, hidden], and y += the shared experts'
    ops::combine_rows(context, rows, saved.slot_row, /*add=*/true, y);
}

void Experts::recompute(Context& context, const Operand& x, ExpertsSaved& saved) const {
    gather(context, x, saved.row_source, config_.num_experts_per_tok, saved.x_rows);
    swiglu_again(context, {saved.gate, saved.up, saved.row_weight}, saved.product);
    if (config_.n_shared_experts > 0) {
        FeedForward(weights_.shared_experts).recompute(context, saved.shared);
    }
}

void Experts::gate_backward(Context& context, const SequenceLayout& layout,
                            const Tensor& d_row_weight, const ExpertsSaved& saved,
                            ExpertsBackward& work) const {
    const Workspace::Scope scope(context.workspace);
    const DType statistics = saved.scores.dtype();
    Tensor d_weights =
        context.workspace.take(saved.weights.shape(), statistics);  // [tokens, top_k]
    Tensor d_scores =
        context.workspace.take(saved.scores.shape(), statistics);  // [tokens, experts]
    ops::scatter_values(context, d_row_weight, saved.row_source, d_weights);
    ops::gate_topk_backward(context, d_weights, saved.scores, saved.ids, config_.gate_options(),
                            d_scores);
    if (layout.balance_alpha != 0) {
        balance_loss_backward(context, saved.scores, saved.ids, layout.starts,
                              layout.balance_alpha * layout.balance_scale, d_scores);
    }
    ops::gate_scores_backward(context, d_scores, saved.scores, config_.gate_options(), d_scores);
    ops::convert(context, d_scores, work.d_logits);
}

void Experts::backward_input(Context& context, const SequenceLayout& layout, const Operand& d_y,
                             const ExpertsSaved& saved, ExpertsBackward& work, Tensor& d_x) const {
    const auto& experts = weights_.experts;
    const DType dtype = d_x.dtype();
    const Workspace::Scope scope(context.workspace);
    Tensor d_product = context.workspace.take(saved.gate.values.shape(), dtype);
    Tensor d_row_weight =
        context.workspace.take(saved.row_weight.shape(), saved.row_weight.dtype());
    Tensor d_x_rows =
        context.workspace.take({saved.row_source.count(), config_.hidden_size}, dtype);

    gather(context, d_y, saved.row_source, config_.num_experts_per_tok, work.d_rows);
    LinearList list(&context.workspace);
    list.reserve(experts.size());
    add_products(experts, &FeedForwardWeights::down_proj, saved, work.d_rows, d_product, list);
    Linear::backward_input(context, list);  // [rows, moe_intermediate]
    Operand product = saved.product;        // a handle
    swiglu_backward(context, d_product, {saved.gate, saved.up, saved.row_weight}, product,
                    work.d_gate, work.d_up, d_row_weight);
    list.clear();
    add_products(experts, &FeedForwardWeights::gate_proj, saved, work.d_gate, d_x_rows, list);
    Linear::backward_input(context, list);
    list.clear();
    add_products(experts, &FeedForwardWeights::up_proj, saved, work.d_up, d_x_rows, list);
    Linear::backward_input_add(context, list);  // [rows, hidden]
    if (config_.n_shared_experts > 0) {
        FeedForward(weights_.shared_experts)
            .backward_input(context, d_y, saved.shared, work.shared, d_x);
        ops::combine_rows(context, d_x_rows, saved.slot_row, /*add=*/true, d_x);
    } else {
        ops::combine_rows(context, d_x_rows, saved.slot_row, /*add=*/false, d_x);
    }
    gate_backward(context, layout, d_row_weight, saved, work);
    ops::matmul_nn_add(context, work.d_logits, weights_.gate, d_x);
}

void Experts::backward_weight(Context& context, const Operand& x, const Operand& d_y,
                              const ExpertsSaved& saved, const ExpertsBackward& work,
                              MoeWeights& gradients) const {
    const auto offsets = saved.offsets.values<int64_t>();
    // An expert's three together: two of them have rows in common, and all fit into a cache.
    std::vector<LinearGradientRows> list;
    for (size_t e = 0; e < gradients.experts.size(); ++e) {
        const int64_t begin = offsets[e];
        const int64_t count = offsets[e + 1] - begin;
        if (count == 0) continue;
        FeedForwardWeights& of_expert = gradients.experts[e];
        const Operand x_rows = saved.x_rows.rows(begin, count);
        list.push_back({work.d_gate.rows(begin, count), x_rows, of_expert.gate_proj});
        list.push_back({work.d_up.rows(begin, count), x_rows, of_expert.up_proj});
        list.push_back({work.d_rows.rows(begin, count), saved.product.rows(begin, count),
                        of_expert.down_proj});
    }
    Linear::add_gradients(context, list);
    ops::matmul_tn_add(context, work.d_logits, x.values, gradients.gate);
    if (config_.n_shared_experts > 0) {
        FeedForward(weights_.shared_experts)
            .backward_weight(context, x, d_y, saved.shared, work.shared, gradients.shared_experts);
    }
}

}  // namespace hadal::model
