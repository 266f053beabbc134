#include "ops/cpu/silu_mul.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
void silu_mul_rows(const SiluMulForward<T>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    for (int64_t t = begin; t < end; ++t) {
        const T* gate = a.gate + t * a.gate_stride;
        const T* up = a.up + t * a.up_stride;
        T* product = a.product + t * a.product_stride;
        const V weight = V::all(a.weight != nullptr ? a.weight[t] : 1);
        for_each_vector<V>(a.intermediate, [&](int64_t i, auto part) {
            const V g = V::load(gate + i, part);
            const V silu = g * sigmoid(g);
            store(product + i, silu * V::load(up + i, part) * weight, part);
        });
    }
}

template <Isa isa, class T>
void silu_mul_backward_rows(const SiluMulBackward<T>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    for (int64_t t = begin; t < end; ++t) {
        const T* d_product = a.d_product + t * a.d_product_stride;
        const T* gate = a.gate + t * a.gate_stride;
        const T* up = a.up + t * a.up_stride;
        T* d_gate = a.d_gate + t * a.d_gate_stride;
        T* d_up = a.d_up + t * a.d_up_stride;
        const V one = V::all(1);
        const V weight = V::all(a.weight != nullptr ? a.weight[t] : 1);
        const V sum = sum_vectors<V>(a.intermediate, [&](int64_t i, auto part) {
            const V g = V::load(gate + i, part);
            const V u = V::load(up + i, part);
            const V d = V::load(d_product + i, part);
            const V s = sigmoid(g);
            const V silu = g * s;
            const V d_weighted = d * weight;
            // silu'(g) = s·(1 + g·(1 − s))
            store(d_gate + i, d_weighted * u * (s * fma(g, one - s, one)), part);
            store(d_up + i, d_weighted * silu, part);
            if (a.product != nullptr) {
                store(a.product + t * a.product_stride + i, silu * u * weight, part);
            }
            return d * u * silu;
        });
        if (a.d_weight != nullptr) a.d_weight[t] = sum_lanes(sum);
    }
}

#define HADAL_INSTANTIATE(T)                                                                \
    template void silu_mul_rows<Isa::HADAL_THIS_ISA, T>(const SiluMulForward<T>&, int64_t,  \
                                                        int64_t);                           \
    template void silu_mul_backward_rows<Isa::HADAL_THIS_ISA, T>(const SiluMulBackward<T>&, \
                                                                 int64_t, int64_t);
HADAL_INSTANTIATE(bf16)
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(double)
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
