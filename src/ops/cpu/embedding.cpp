#include "ops/cpu/embedding.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
void embedding_backward_columns(const EmbeddingGradient<T>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    for (int64_t t = 0; t < a.tokens; ++t) {
        const T* dy = a.dy + t * a.dy_stride + begin;
        Statistic<T>* sums = a.d_table + a.ids[t] * a.d_table_stride + begin;
        for_each_vector<V>(end - begin, [&](int64_t i, auto part) {
            store(sums + i, V::load(sums + i, part) + V::load(dy + i, part), part);
        });
    }
}

template void embedding_backward_columns<Isa::HADAL_THIS_ISA, bf16>(const EmbeddingGradient<bf16>&,
                                                                    int64_t, int64_t);
template void embedding_backward_columns<Isa::HADAL_THIS_ISA, float>(
    const EmbeddingGradient<float>&, int64_t, int64_t);
template void embedding_backward_columns<Isa::HADAL_THIS_ISA, double>(
    const EmbeddingGradient<double>&, int64_t, int64_t);

}  // namespace hadal::ops::cpu
