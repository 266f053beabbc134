// Three passes over a row: maximum, sum of exponentials, gradient. A row of 129280 float32 logits
// is half a megabyte, so the second and third pass read the L2 cache. Taking the exponential twice
// is cheaper than storing it in float32.
#include "ops/cpu/cross_entropy.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class L>
L row_maximum(const L* logits, int64_t vocab) {
    using V = Vector<isa, L>;
    const V lowest = V::all(L(-__builtin_inf()));
    V best[2] = {lowest, lowest};
    int64_t i = 0;
    for (; i + 2 * V::kLanes <= vocab; i += 2 * V::kLanes) {
        best[0] = max(V::load(logits + i, Whole{}), best[0]);
        best[1] = max(V::load(logits + i + V::kLanes, Whole{}), best[1]);
    }
    for_each_vector<V>(vocab - i, [&](int64_t j, auto part) {
        best[0] = max(select(part, V::load(logits + i + j, part), lowest), best[0]);
    });
    return max_lanes(max(best[0], best[1]));
}

template <Isa isa, class L>
L row_sum_of_exponentials(const L* logits, int64_t vocab, L maximum) {
    using V = Vector<isa, L>;
    const V shift = V::all(maximum);
    return sum_lanes(sum_vectors<V>(vocab, [&](int64_t i, auto part) {
        return select(part, exp(V::load(logits + i, part) - shift), V::all(0));
    }));
}

template <Isa isa, class L, class D>
void row_softmax_gradient(const SoftmaxGradient<L, D>& a) {
    using V = Vector<isa, L>;
    const V shift = V::all(a.maximum);
    const V factor = V::all(a.scale / a.sum);
    // p − 1 before the scale: near p = 1 the difference is exact, that of the products would not
    // be.
    const V at_target = exp(V::all(a.logits[a.target]) - shift) * V::all(1 / a.sum) - V::all(1);
    for_each_vector<V>(a.vocab, [&](int64_t i, auto part) {
        store(a.d_logits + i, exp(V::load(a.logits + i, part) - shift) * factor, part);
    });
    store(a.d_logits + a.target, at_target * V::all(a.scale), Part{1});
}

#define HADAL_INSTANTIATE(L)                                           \
    template L row_maximum<Isa::HADAL_THIS_ISA, L>(const L*, int64_t); \
    template L row_sum_of_exponentials<Isa::HADAL_THIS_ISA, L>(const L*, int64_t, L);
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(double)
#undef HADAL_INSTANTIATE
template void row_softmax_gradient<Isa::HADAL_THIS_ISA, float, float>(
    const SoftmaxGradient<float, float>&);
template void row_softmax_gradient<Isa::HADAL_THIS_ISA, float, bf16>(
    const SoftmaxGradient<float, bf16>&);
template void row_softmax_gradient<Isa::HADAL_THIS_ISA, double, double>(
    const SoftmaxGradient<double, double>&);

}  // namespace hadal::ops::cpu
