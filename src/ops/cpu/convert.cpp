#include "ops/cpu/convert.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa>
void widen(const bf16* x, float* y, int64_t n) {
    using V = Floats<isa>;
    for_each_vector<V>(n, [&](int64_t i, auto part) { store(y + i, V::load(x + i, part), part); });
}

template <Isa isa>
void narrow(const float* x, bf16* y, int64_t n) {
    using V = Floats<isa>;
    for_each_vector<V>(n, [&](int64_t i, auto part) { store(y + i, V::load(x + i, part), part); });
}

template void widen<Isa::HADAL_THIS_ISA>(const bf16*, float*, int64_t);
template void narrow<Isa::HADAL_THIS_ISA>(const float*, bf16*, int64_t);

}  // namespace hadal::ops::cpu
