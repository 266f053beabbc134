#include "ops/cpu/rotary.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
void rotary_row(const RotaryRow<T>& a) {
    for (int64_t h = 0; h < a.heads; ++h) {
        T* x = a.x + h * a.head_dim;
        if constexpr (sizeof(T) == sizeof(double)) {  // a pair does not fit the one lane of f64
            for (int64_t i = 0; i < a.rope_dim; i += 2) {
                const T cosine = a.cos_sin[i];
                const T sine = a.back ? -a.cos_sin[i + 1] : a.cos_sin[i + 1];
                const T first = x[i];
                const T second = x[i + 1];
                x[i] = first * cosine - second * sine;
                x[i + 1] = second * cosine + first * sine;
            }
        } else {
            using V = Vector<isa, T>;
            for_each_vector<V>(a.rope_dim, [&](int64_t i, auto part) {
                const V pairs = V::load(x + i, part);
                const V cos_sin = V::load(a.cos_sin + i, part);
                store(x + i, a.back ? turn_pairs_back(pairs, cos_sin) : turn_pairs(pairs, cos_sin),
                      part);
            });
        }
    }
}

template void rotary_row<Isa::HADAL_THIS_ISA, bf16>(const RotaryRow<bf16>&);
template void rotary_row<Isa::HADAL_THIS_ISA, float>(const RotaryRow<float>&);
template void rotary_row<Isa::HADAL_THIS_ISA, double>(const RotaryRow<double>&);

}  // namespace hadal::ops::cpu
