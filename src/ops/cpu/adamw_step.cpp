// One pass: 16 bytes read and 18 written per bf16 parameter (its own line is read too, 2 more), 12
// and 14 with bf16 moments; about 12 operations. Bound by memory bandwidth everywhere.
#include "ops/cpu/adamw_step.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class S, class M, class P>
void adamw_range(const AdamwRange<S, M, P>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, S>;
    const auto& f = a.factors;
    const V scale = V::all(f.gradient_scale);
    const V beta1 = V::all(f.beta1);
    const V one_minus_beta1 = V::all(f.one_minus_beta1);
    const V beta2 = V::all(f.beta2);
    const V one_minus_beta2 = V::all(f.one_minus_beta2);
    const V decay = V::all(f.decay);
    const V step_size = V::all(f.step_size);
    const V inverse_root = V::all(f.inverse_root);
    const V epsilon = V::all(f.epsilon);
    S* gradient = a.gradient + begin;
    S* master = a.master + begin;
    M* first = a.m + begin;
    M* second = a.v + begin;
    P* parameter = a.parameter + begin;
    for_each_vector<V>(end - begin, [&](int64_t i, auto part) {
        const V g = V::load(gradient + i, part) * scale;
        const V m = fma(V::load(first + i, part), beta1, g * one_minus_beta1);
        const V v = fma(V::load(second + i, part), beta2, g * g * one_minus_beta2);
        const V update = step_size * m / fma(square_root(v), inverse_root, epsilon);
        const V w = V::load(master + i, part) * decay - update;
        store(gradient + i, V::all(0), part);
        store(first + i, m, part);  // the update above used them before they are rounded
        store(second + i, v, part);
        store(master + i, w, part);
        store(parameter + i, w, part);
    });
}

#define HADAL_ADAMW(S, M, P)                                                                     \
    template void adamw_range<Isa::HADAL_THIS_ISA, S, M, P>(const AdamwRange<S, M, P>&, int64_t, \
                                                            int64_t);
HADAL_ADAMW(float, float, float)
HADAL_ADAMW(float, float, bf16)
HADAL_ADAMW(float, bf16, float)
HADAL_ADAMW(float, bf16, bf16)
HADAL_ADAMW(double, double, double)
#undef HADAL_ADAMW

}  // namespace hadal::ops::cpu
