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

struct Batch {
    const Tensor& logits;   // [tokens, vocab]
    const Tensor& targets;  // [tokens]
    double scale;
    Tensor& loss;      // [tokens]
    Tensor& d_logits;  // [tokens, vocab], or empty
};

template <Isa isa, class L, class D>
void cross_entropy_row(Batch& batch, int64_t t) {
    const int32_t target = batch.targets.data_as<int32_t>()[t];
    const std::span<const L> logits = batch.logits.row<L>(t);
    const auto vocab = int64_t(logits.size());
    D* d_logits = batch.d_logits.empty() ? nullptr : batch.d_logits.row<D>(t).data();
    L& loss = batch.loss.data_as<L>()[t];
    if (target == kNoTarget) {
        loss = 0;
        if (d_logits != nullptr) std::memset(d_logits, 0, size_t(vocab) * sizeof(D));
        return;
    }
    const L logit = logits[size_t(target)];
    const L maximum = cpu::row_maximum<isa, L>(logits.data(), vocab);
    const L sum = cpu::row_sum_of_exponentials<isa, L>(logits.data(), vocab, maximum);
    // In double and in this order: a small loss is the logarithm of a sum near 1 and no difference.
    loss = L(std::log(double(sum)) + (double(maximum) - double(logit)));
    if (d_logits == nullptr) return;
    cpu::row_softmax_gradient<isa, L, D>({.logits = logits.data(),
                                          .d_logits = d_logits,
                                          .vocab = vocab,
                                          .target = target,
                                          .maximum = maximum,
                                          .sum = sum,
                                          .scale = L(batch.scale)});
}

template <class L, class D>
void cross_entropy_rows(Context& context, Batch batch) {
    const auto [tokens, vocab] = batch.logits.shape<2>();
    const int64_t grain = rows_per_task(vocab);
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_for(tokens, grain,
                                     [&](int64_t t) { cross_entropy_row<isa, L, D>(batch, t); });
    });
}

}  // namespace

void cross_entropy(Context& context, const Tensor& logits, const Tensor& targets, double scale,
                   Tensor& loss, Tensor& d_logits) {
    check(logits, targets, loss, d_logits);
    const Batch batch{logits, targets, scale, loss, d_logits};
    if (logits.dtype() == DType::f64) return cross_entropy_rows<double, double>(context, batch);
    require(logits, DType::f32, logits.shape(), "cross_entropy: logits");
    if (!d_logits.empty() && d_logits.dtype() == DType::bf16) {
        return cross_entropy_rows<float, bf16>(context, batch);
    }
    cross_entropy_rows<float, float>(context, batch);
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
