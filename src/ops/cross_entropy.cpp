#include "ops/cross_entropy.h"

#include <cmath>
#include <cstring>

#include "ops/cpu/cross_entropy.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

constexpr int32_t kNoTarget = -1;

void check(const Tensor& logits, const Tensor& targets, const Tensor& loss,
           const Tensor& d_logits) {
    const auto [tokens, vocab] = logits.shape<2>();
    require(targets, DType::i32, {tokens}, "cross_entropy: targets");
    require(loss, statistic_type(logits.dtype()), {tokens}, "cross_entropy: loss");
    if (!d_logits.empty()) {
        const bool narrow = logits.dtype() == DType::f32 && d_logits.dtype() == DType::bf16;
        require(d_logits, narrow ? DType::bf16 : logits.dtype(), {tokens, vocab},
                "cross_entropy: d_logits");
    }
    for (const int32_t target : targets.values<int32_t>()) {
        if (target != kNoTarget && (target < 0 || target >= vocab)) {
            throw Error(Error::Kind::bad_input,
                        concat("target id ", target, " is outside the vocabulary of ", vocab,
                               " (does the tokenizer belong to this model?)"));
        }
    }
}

template <Isa isa, class L, class D>
void gradient_row(const cpu::SoftmaxGradient<L, D>& row) {
    if (row.target == kNoTarget) {
        std::memset(row.d_logits, 0, size_t(row.vocab) * sizeof(D));
    } else {
        cpu::row_softmax_gradient<isa, L, D>(row);
    }
}

template <Isa isa, class L>
void cross_entropy_row(const L* logits, int64_t target, double scale, L& loss, Tensor& d_logits,
                       int64_t t, int64_t vocab) {
    const bool used = target != kNoTarget;
    const L maximum = used ? cpu::row_maximum<isa, L>(logits, vocab) : 0;
    const L sum = used ? cpu::row_sum_of_exponentials<isa, L>(logits, vocab, maximum) : 1;
    const double logit = used ? double(logits[target]) : 0;
    if (!d_logits.empty() && d_logits.dtype() == DType::bf16) {
        if constexpr (std::is_same_v<L, float>) {
            gradient_row<isa, L, bf16>(
                {logits, d_logits.row<bf16>(t).data(), vocab, target, maximum, sum, L(scale)});
        }
    } else if (!d_logits.empty()) {
        gradient_row<isa, L, L>(
            {logits, d_logits.row<L>(t).data(), vocab, target, maximum, sum, L(scale)});
    }
    // In double: the difference of two numbers near the maximum would lose digits of a small loss.
    loss = L(std::log(double(sum)) + (double(maximum) - logit));
}

template <class L>
void cross_entropy_rows(Context& context, const Tensor& logits, const Tensor& targets, double scale,
                        Tensor& loss, Tensor& d_logits) {
    const auto [tokens, vocab] = logits.shape<2>();
    const int64_t grain = rows_per_task(vocab);
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_for(tokens, grain, [&](int64_t t) {
            cross_entropy_row<isa, L>(logits.row<L>(t).data(), targets.data_as<int32_t>()[t], scale,
                                      loss.data_as<L>()[t], d_logits, t, logits.shape()[1]);
        });
    });
}

}  // namespace

void cross_entropy(Context& context, const Tensor& logits, const Tensor& targets, double scale,
                   Tensor& loss, Tensor& d_logits) {
    check(logits, targets, loss, d_logits);
    if (logits.dtype() == DType::f64) {
        cross_entropy_rows<double>(context, logits, targets, scale, loss, d_logits);
    } else {
        require(logits, DType::f32, logits.shape(), "cross_entropy: logits");
        cross_entropy_rows<float>(context, logits, targets, scale, loss, d_logits);
    }
}

void argmax(Context& context, const Tensor& logits, Tensor& ids) {
    const auto [tokens, vocab] = logits.shape<2>();
    require(logits, DType::f32, {tokens, vocab}, "argmax: logits");
    require(ids, DType::i32, {tokens}, "argmax: ids");
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_for(tokens, rows_per_task(vocab), [&](int64_t t) {
            const auto row = logits.row<float>(t);
            const float best = cpu::row_maximum<isa, float>(row.data(), int64_t(row.size()));
            const auto first = std::find(row.begin(), row.end(), best);
            // A row of NaN has no maximum: id 0, so that the result is always an id.
            ids.data_as<int32_t>()[t] = first == row.end() ? 0 : int32_t(first - row.begin());
        });
    });
}

}  // namespace hadal::ops
