#include "ops/attention_latent.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "formats/bfloat16.h"

namespace hadal::ops {

namespace {

float widen(bf16 value) {
    return to_float(value);
}
float widen(float value) {
    return value;
}
double widen(double value) {
    return value;
}

template <class T, class S>
T narrow(S value) {
    if constexpr (std::is_same_v<T, bf16>)
        return to_bf16(value);
    else
        return value;
}

template <class T, class S>
void row_of(const T* q_latent, const T* q_pe, const LatentSequence& sequence, int64_t keys, S scale,
            int64_t rank, S* scratch, T* u) {
    const int64_t rope = sequence.cache.shape()[1] - rank;
    S* sum = scratch;
    S total = 0, maximum = -std::numeric_limits<S>::infinity();
    std::fill(sum, sum + rank, S(0));
    for (int64_t j = 0; j < keys; ++j) {
        const T* c = sequence.cache.row<T>(j).data();
        S score = 0;
        for (int64_t i = 0; i < rank; ++i) score += widen(q_latent[i]) * widen(c[i]);
        for (int64_t i = 0; i < rope; ++i) score += widen(q_pe[i]) * widen(c[rank + i]);
        score *= scale;
        if (score > maximum) {
            const S factor = std::exp(maximum - score);
            for (int64_t i = 0; i < rank; ++i) sum[i] *= factor;
            total *= factor;
            maximum = score;
        }
        const S p = std::exp(score - maximum);
        total += p;
        for (int64_t i = 0; i < rank; ++i) sum[i] += widen(narrow<T>(p)) * widen(c[i]);
    }
    for (int64_t i = 0; i < rank; ++i) u[i] = narrow<T>(sum[i] / total);
}

}  // namespace

void attention_latent(Context& context, const Tensor& q_latent, const Tensor& q_pe,
                      std::span<const LatentSequence> sequences, double scale, Tensor& u) {
    if (sequences.empty()) return;
    const auto [tokens, width] = q_latent.shape<2>();
    const int64_t columns = sequences[0].cache.shape()[1];
    const int64_t heads = (width + q_pe.shape()[1]) / columns;
    const int64_t rank = heads == 0 ? 0 : width / heads;
    require(q_pe, q_latent.dtype(), {tokens, heads * (columns - rank)}, "q_pe");
    require(u, q_latent.dtype(), {tokens, width}, "u");
    for (const LatentSequence& sequence : sequences) {
        require(sequence.cache, q_latent.dtype(), {-1, columns}, "cache");
    }
    const auto run = [&]<class T, class S>(T, S) {
        Workspace::Scope scope(context.workspace);
        const auto scratch = context.workspace.take<S>(rank * context.threads.size());
        for (const LatentSequence& sequence : sequences) {
            const int64_t length = sequence.cache.shape()[0];
            context.threads.parallel_ranges(
                sequence.query_count * heads, 1, [&](int64_t begin, int64_t end, int thread) {
                    for (int64_t item = begin; item < end; ++item) {
                        const int64_t i = item / heads, h = item % heads;
                        const int64_t t = sequence.first_query + i;
                        row_of<T, S>(q_latent.row<T>(t).data() + h * rank,
                                     q_pe.row<T>(t).data() + h * (columns - rank), sequence,
                                     length - sequence.query_count + i + 1, S(scale), rank,
                                     scratch.data() + thread * rank, u.row<T>(t).data() + h * rank);
                    }
                });
        }
    };
    if (q_latent.dtype() == DType::bf16)
        run(bf16{}, float{});
    else if (q_latent.dtype() == DType::f32)
        run(float{}, float{});
    else
        run(double{}, double{});
}

}  // namespace hadal::ops
