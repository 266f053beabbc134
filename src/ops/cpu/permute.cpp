#include "ops/cpu/permute.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
void combine_rows(const CombineRows<T>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    for (int64_t t = begin; t < end; ++t) {
        const int32_t* slots = a.slot_row + t * a.top_k;
        T* y = a.y + t * a.y_stride;
        for_each_vector<V>(a.hidden, [&](int64_t i, auto part) {
            V sum = V::all(0);
            for (int64_t k = 0; k < a.top_k; ++k) {
                sum = sum + V::load(a.rows + slots[k] * a.rows_stride + i, part);
            }
            if (a.add) sum = V::load(y + i, part) + sum;
            store(y + i, sum, part);
        });
    }
}

template void combine_rows<Isa::HADAL_THIS_ISA, bf16>(const CombineRows<bf16>&, int64_t, int64_t);
template void combine_rows<Isa::HADAL_THIS_ISA, float>(const CombineRows<float>&, int64_t, int64_t);
template void combine_rows<Isa::HADAL_THIS_ISA, double>(const CombineRows<double>&, int64_t,
                                                        int64_t);

}  // namespace hadal::ops::cpu
