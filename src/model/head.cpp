#include "model/head.h"

#include <algorithm>

#include "model/activation.h"
#include "ops/cross_entropy.h"
#include "ops/matmul.h"

namespace hadal::model {

namespace {

/// 32 MiB of float32 logits, at least 16 rows so that products stay efficient. Depends on the
/// vocabulary alone: the order in which chunks add to the head's gradient is then the same for
/// every batch.
int64_t rows_per_chunk(int64_t vocab) {
    constexpr int64_t kLogits = 8 << 20;
    return std::clamp<int64_t>(kLogits / vocab, 16, 1024);
}

}  // namespace

HeadLoss head_loss(Context& context, const Tensor& hidden, const Linear& head,
                   const Tensor& targets, double scale, HeadGradients gradients,
                   Tensor* log_probabilities) {
    const int64_t tokens = hidden.shape()[0];
    const int64_t vocab = head.out();
    const int64_t chunk = std::min(rows_per_chunk(vocab), tokens);
    const DType statistics = statistics_dtype(hidden.dtype());
    const bool backward = gradients.d_hidden != nullptr || gradients.d_head != nullptr;
    const Workspace::Scope scope(context.workspace);
    const Tensor all_logits = context.workspace.take({chunk, vocab}, statistics);
    const Tensor all_losses = context.workspace.take({chunk}, statistics);
    const Tensor all_d_logits =
        backward ? context.workspace.take({chunk, vocab}, hidden.dtype()) : Tensor();
    HeadLoss result;
    for (int64_t begin = 0; begin < tokens; begin += chunk) {
        const int64_t rows = std::min(chunk, tokens - begin);
        const Tensor h = hidden.rows(begin, rows);                           // [rows, hidden]
        const Tensor chunk_targets = targets.rows(begin, rows);              // [rows]
        Tensor logits = all_logits.rows(0, rows);                            // [rows, vocab]
        Tensor losses = all_losses.rows(0, rows);                            // [rows]
        Tensor d_logits = backward ? all_d_logits.rows(0, rows) : Tensor();  // [rows, vocab]
        head.forward(context, {.values = h, .fp8 = {}}, logits);
        ops::cross_entropy(context, logits, chunk_targets, scale, losses, d_logits);
        for (int64_t t = 0; t < rows;
             ++t) {  // in order, in double: the sum does not depend on threads
            const double loss = statistics == DType::f64 ? losses.values<double>()[size_t(t)]
                                                         : losses.values<float>()[size_t(t)];
            result.loss_sum += loss;
            result.targets += chunk_targets.values<int32_t>()[size_t(t)] >= 0;
            if (log_probabilities != nullptr) {
                log_probabilities->values<float>()[size_t(begin + t)] = float(-loss);
            }
        }
        if (gradients.d_hidden != nullptr) {
            Tensor d_hidden = gradients.d_hidden->rows(begin, rows);
            ops::matmul_nn_add(context, d_logits, head.weight, d_hidden);
        }
        if (gradients.d_head != nullptr) {
            ops::matmul_tn_add(context, d_logits, h, *gradients.d_head);
        }
    }
    return result;
}

}  // namespace hadal::model
