#include "model/experts.h"

#include "model/balance_loss.h"
#include "ops/convert.h"
#include "ops/gate_topk.h"
#include "ops/permute.h"
#include "ops/silu_mul.h"

namespace hadal::model {

namespace {

/// One product for each expert that has rows: {left rows, matrix(e), right rows}.
template <class Matrix>
std::vector<ops::Product> expert_products(const ExpertsSaved& saved, const Tensor& left,
                                          const Matrix& matrix, const Tensor& result) {
    std::vector<ops::Product> products;
    products.reserve(saved.offsets.size() - 1);
    for (size_t e = 0; e + 1 < saved.offsets.size(); ++e) {
        const int64_t begin = saved.offsets[e];
        const int64_t count = saved.offsets[e + 1] - begin;
        if (count > 0)
            products.push_back({left.rows(begin, count), matrix(e), result.rows(begin, count)});
    }
    return products;
}

/// The weight gradients: {d rows, x rows, gradient(e)}.
template <class Matrix>
std::vector<ops::Product> gradient_products(const ExpertsSaved& saved, const Tensor& d_rows,
                                            const Tensor& x_rows, const Matrix& gradient) {
    std::vector<ops::Product> products;
    products.reserve(saved.offsets.size() - 1);
    for (size_t e = 0; e + 1 < saved.offsets.size(); ++e) {
        const int64_t begin = saved.offsets[e];
        const int64_t count = saved.offsets[e + 1] - begin;
        if (count > 0)
            products.push_back({d_rows.rows(begin, count), x_rows.rows(begin, count), gradient(e)});
    }
    return products;
}

}  // namespace

std::vector<int64_t> ExpertsSaved::load() const {
    std::vector<int64_t> load;
    for (size_t e = 0; e + 1 < offsets.size(); ++e) load.push_back(offsets[e + 1] - offsets[e]);
    return load;
}

ExpertsSaved allocate_experts_saved(const ModelConfig& config, int64_t tokens, DType dtype,
                                    const Allocate& allocate) {
    const int64_t experts = config.n_routed_experts;
    const int64_t top_k = config.num_experts_per_tok;
    const int64_t rows = tokens * top_k;
    const int64_t intermediate = config.moe_intermediate_size;
    const DType statistics = statistics_dtype(dtype);
    ExpertsSaved saved;
    saved.scores = allocate({tokens, experts}, statistics);
    saved.ids = allocate({tokens, top_k}, DType::i32);
    saved.weights = allocate({tokens, top_k}, statistics);
    saved.offsets.resize(size_t(experts) + 1);
    saved.row_source = allocate({rows}, DType::i32);
    saved.slot_row = allocate({tokens, top_k}, DType::i32);
    saved.row_weight = allocate({rows}, statistics);
    saved.x_rows = allocate({rows, config.hidden_size}, dtype);
    saved.gate = allocate({rows, intermediate}, dtype);
    saved.up = allocate({rows, intermediate}, dtype);
    saved.product = allocate({rows, intermediate}, dtype);
    if (config.n_shared_experts > 0) {
        saved.shared = allocate_feed_forward_saved(tokens, config.n_shared_experts * intermediate,
                                                   dtype, allocate);
    }
    return saved;
}

ExpertsBackward allocate_experts_backward(const ModelConfig& config, int64_t tokens, DType dtype,
                                          const Allocate& allocate) {
    const int64_t rows = tokens * config.num_experts_per_tok;
    const int64_t intermediate = config.moe_intermediate_size;
    ExpertsBackward work;
    work.d_rows = allocate({rows, config.hidden_size}, dtype);
    work.d_gate = allocate({rows, intermediate}, dtype);
    work.d_up = allocate({rows, intermediate}, dtype);
    work.d_logits = allocate({tokens, config.n_routed_experts}, dtype);
    if (config.n_shared_experts > 0) {
        work.shared = allocate_feed_forward_backward(tokens, config.n_shared_experts * intermediate,
                                                     dtype, allocate);
    }
    return work;
}

void Experts::route(Context& context, const Tensor& x, ExpertsSaved& saved) const {
    const Workspace::Scope scope(context.workspace);
    // Products of bf16 are exact in float32 and the sum is float32: the router runs in float32 in
    // every model.
    Tensor logits = context.workspace.take(saved.scores.shape(), saved.scores.dtype());
    ops::matmul_nt(context, x, weights_.gate, logits);
    ops::gate_topk(context, logits, weights_.e_score_correction_bias, config_.gate_options(),
                   saved.scores, saved.ids, saved.weights);
    ops::expert_order(context, saved.ids, saved.offsets, saved.row_source, saved.slot_row);
    ops::gather_values(context, saved.weights, saved.row_source, saved.row_weight);
}

void Experts::forward(Context& context, const Tensor& x, ExpertsSaved& saved, Tensor& y) const {
    route(context, x, saved);
    const auto& experts = weights_.experts;
    ops::gather_rows(context, x, saved.row_source, config_.num_experts_per_tok, saved.x_rows);
    // Gate and up of all experts in one fork/join.
    auto products = expert_products(
        saved, saved.x_rows, [&](size_t e) { return experts[e].gate_proj; }, saved.gate);
    const auto up = expert_products(
        saved, saved.x_rows, [&](size_t e) { return experts[e].up_proj; }, saved.up);
    products.insert(products.end(), up.begin(), up.end());
    ops::matmul_nt(context, products);
    ops::silu_mul(context, saved.gate, saved.up, saved.row_weight, saved.product);
    if (config_.n_shared_experts > 0) {
        FeedForward(weights_.shared_experts).forward(context, x, saved.shared, y);
    }
    const Workspace::Scope scope(context.workspace);
    Tensor rows = context.workspace.take(saved.x_rows.shape(), x.dtype());
    ops::matmul_nt(context,
                   expert_products(
                       saved, saved.product, [&](size_t e) { return experts[e].down_proj; }, rows));
    ops::combine_rows(context, rows, saved.slot_row, /*add=*/true, y);
}

void Experts::gate_backward(Context& context, const SequenceLayout& layout,
                            const Tensor& d_row_weight, const ExpertsSaved& saved,
                            ExpertsBackward& work) const {
    const Workspace::Scope scope(context.workspace);
    const DType statistics = saved.scores.dtype();
    Tensor d_weights = context.workspace.take(saved.weights.shape(), statistics);
    Tensor d_scores = context.workspace.take(saved.scores.shape(), statistics);
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

void Experts::backward_input(Context& context, const SequenceLayout& layout, const Tensor& d_y,
                             const ExpertsSaved& saved, ExpertsBackward& work, Tensor& d_x) const {
    const auto& experts = weights_.experts;
    const Workspace::Scope scope(context.workspace);
    Tensor d_product = context.workspace.take(saved.product.shape(), d_y.dtype());
    Tensor d_row_weight =
        context.workspace.take(saved.row_weight.shape(), saved.row_weight.dtype());
    Tensor d_x_rows = context.workspace.take(saved.x_rows.shape(), d_y.dtype());

    ops::gather_rows(context, d_y, saved.row_source, config_.num_experts_per_tok, work.d_rows);
    ops::matmul_nn(context, expert_products(
                                saved, work.d_rows, [&](size_t e) { return experts[e].down_proj; },
                                d_product));
    ops::silu_mul_backward(context, d_product, saved.gate, saved.up, saved.row_weight, work.d_gate,
                           work.d_up, d_row_weight);
    ops::matmul_nn(
        context, expert_products(
                     saved, work.d_gate, [&](size_t e) { return experts[e].gate_proj; }, d_x_rows));
    ops::matmul_nn_add(
        context,
        expert_products(saved, work.d_up, [&](size_t e) { return experts[e].up_proj; }, d_x_rows));
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

void Experts::backward_weight(Context& context, const Tensor& x, const Tensor& d_y,
                              const ExpertsSaved& saved, const ExpertsBackward& work,
                              MoeWeights& gradients) const {
    auto& experts = gradients.experts;
    auto products = gradient_products(saved, work.d_gate, saved.x_rows,
                                      [&](size_t e) { return experts[e].gate_proj; });
    const auto up = gradient_products(saved, work.d_up, saved.x_rows,
                                      [&](size_t e) { return experts[e].up_proj; });
    const auto down = gradient_products(saved, work.d_rows, saved.product,
                                        [&](size_t e) { return experts[e].down_proj; });
    products.insert(products.end(), up.begin(), up.end());
    products.insert(products.end(), down.begin(), down.end());
    ops::matmul_tn_add(context, products);
    ops::matmul_tn_add(context, work.d_logits, x, gradients.gate);
    if (config_.n_shared_experts > 0) {
        FeedForward(weights_.shared_experts)
            .backward_weight(context, x, d_y, saved.shared, work.shared, gradients.shared_experts);
    }
}

}  // namespace hadal::model
