#include "ops/cpu/gate_topk.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class L>
void gate_sigmoid(const L* logits, int64_t experts, L* scores) {
    using V = Vector<isa, L>;
    for_each_vector<V>(experts, [&](int64_t i, auto part) {
        store(scores + i, sigmoid(V::load(logits + i, part)), part);
    });
}

template <Isa isa, class L>
void gate_softmax(const L* logits, int64_t experts, L* scores) {
    using V = Vector<isa, L>;
    const V lowest = V::all(L(-__builtin_inf()));
    V best = lowest;
    for_each_vector<V>(experts, [&](int64_t i, auto part) {
        best = max(select(part, V::load(logits + i, part), lowest), best);
    });
    const V maximum = V::all(max_lanes(best));
    const V sum = V::all(sum_lanes(sum_vectors<V>(experts, [&](int64_t i, auto part) {
        return select(part, exp(V::load(logits + i, part) - maximum), V::all(0));
    })));
    for_each_vector<V>(experts, [&](int64_t i, auto part) {
        store(scores + i, exp(V::load(logits + i, part) - maximum) / sum, part);
    });
}

template <Isa isa, class L>
void gate_sigmoid_backward(const L* d_scores, const L* scores, int64_t experts, L* d_logits) {
    using V = Vector<isa, L>;
    for_each_vector<V>(experts, [&](int64_t i, auto part) {
        const V s = V::load(scores + i, part);
        store(d_logits + i, V::load(d_scores + i, part) * (s * (V::all(1) - s)), part);
    });
}

template <Isa isa, class L>
void gate_softmax_backward(const L* d_scores, const L* scores, int64_t experts, L* d_logits) {
    using V = Vector<isa, L>;
    const V mean = V::all(sum_lanes(sum_vectors<V>(experts, [&](int64_t i, auto part) {
        return V::load(d_scores + i, part) * V::load(scores + i, part);
    })));
    for_each_vector<V>(experts, [&](int64_t i, auto part) {
        store(d_logits + i, V::load(scores + i, part) * (V::load(d_scores + i, part) - mean), part);
    });
}

#define HADAL_INSTANTIATE(L)                                                                      \
    template void gate_sigmoid<Isa::HADAL_THIS_ISA, L>(const L*, int64_t, L*);                    \
    template void gate_softmax<Isa::HADAL_THIS_ISA, L>(const L*, int64_t, L*);                    \
    template void gate_sigmoid_backward<Isa::HADAL_THIS_ISA, L>(const L*, const L*, int64_t, L*); \
    template void gate_softmax_backward<Isa::HADAL_THIS_ISA, L>(const L*, const L*, int64_t, L*);
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(double)
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
