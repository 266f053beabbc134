#include "eval/divergence.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "eval/text_windows.h"

namespace hadal::eval {

namespace {

/// ln Σ exp of logits, in float64.
double log_sum(std::span<const float> logits) {
    const double largest = double(std::ranges::max(logits));
    double sum = 0;
    for (const float logit : logits) sum += std::exp(double(logit) - largest);
    return largest + std::log(sum);
}

/// Σ p·ln(p / q) of two rows of logits.
double row_kl(std::span<const float> p, std::span<const float> q) {
    const double p_norm = log_sum(p), q_norm = log_sum(q);
    double sum = 0;
    for (size_t v = 0; v < p.size(); ++v) {
        const double log_p = double(p[v]) - p_norm, log_q = double(q[v]) - q_norm;
        sum += std::exp(log_p) * (log_p - log_q);
    }
    return sum;
}

int64_t most_probable(std::span<const float> logits) {
    return std::ranges::max_element(logits) - logits.begin();
}

}  // namespace

Divergence compare_models(Context& context, const model::Model& reference,
                          const model::Model& model, const text::Tokenizer& tokenizer,
                          std::string_view text, int64_t window) {
    const int64_t vocab = reference.config.vocab_size;
    if (model.config.vocab_size != vocab) {
        throw Error(Error::Kind::bad_input,
                    concat("models of ", vocab, " and ", model.config.vocab_size,
                           " tokens cannot be compared: a vocabulary must be the same"));
    }
    constexpr int64_t kRows = 64;  // whose logits are in memory at once
    Tensor p = Tensor::uninitialized({kRows, vocab}, DType::f32), q = p.clone();
    ForwardMemory memory(reference), other_memory(model);
    Divergence result;
    each_window(tokenizer, text, window, [&](const model::TokenBatch& batch) {
        const int64_t tokens = batch.ids.count();
        model::Saved& saved = memory.of(tokens);
        model::Saved& other = other_memory.of(tokens);
        model::forward(context, reference, batch, saved);
        model::forward(context, model, batch, other);
        for (int64_t begin = 0; begin < tokens; begin += kRows) {
            const int64_t rows = std::min(kRows, tokens - begin);
            Tensor p_rows = p.rows(0, rows), q_rows = q.rows(0, rows);
            model::head_logits(context, reference, saved.normed.rows(begin, rows), p_rows);
            model::head_logits(context, model, other.normed.rows(begin, rows), q_rows);
            std::vector<double> kl(static_cast<size_t>(rows));  // summed in the order of the text
            context.threads.parallel_for(rows, [&](int64_t row) {
                kl[size_t(row)] = row_kl(p_rows.row<float>(row), q_rows.row<float>(row));
            });
            for (int64_t row = 0; row < rows; ++row) {
                result.kl_sum += kl[size_t(row)];
                result.agreed +=
                    most_probable(p_rows.row<float>(row)) == most_probable(q_rows.row<float>(row));
            }
        }
        result.positions += tokens;
    });
    return result;
}

}  // namespace hadal::eval
