// The plain loops of the matrix products: the oracle of the fast kernels, and the path of f64.
#include "ops/cpu/matmul.h"
#include "ops/cpu/matmul_store.h"

#if !defined(__AVX2__)  // one copy, built for the portable set, serves every machine

namespace hadal::ops::cpu {

template <class In, class Out>
void matmul_plain(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch&) {
    const auto* a = static_cast<const In*>(product.a.data);
    const auto* b = static_cast<const In*>(product.b.data);
    const int64_t a_m = product.a.k_contiguous ? product.a.stride : 1;
    const int64_t a_k = product.a.k_contiguous ? 1 : product.a.stride;
    const int64_t b_n = product.b.k_contiguous ? product.b.stride : 1;
    const int64_t b_k = product.b.k_contiguous ? 1 : product.b.stride;
    for (int64_t m = tile.m_begin; m < tile.m_begin + tile.m_count; ++m) {
        Out* c = static_cast<Out*>(product.c) + m * product.c_stride;
        for (int64_t n = tile.n_begin; n < tile.n_begin + tile.n_count; ++n) {
            decltype(widen(In{})) sum = 0;
            for (int64_t k = 0; k < product.k; ++k) {
                sum += widen(a[m * a_m + k * a_k]) * widen(b[n * b_n + k * b_k]);
            }
            if (product.add) sum += widen(c[n]);
            narrow(sum, c[n]);
        }
    }
}

template void matmul_plain<double, double>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);
template void matmul_plain<float, float>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);
template void matmul_plain<bf16, float>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);
template void matmul_plain<bf16, bf16>(const MatmulProduct&, const MatmulTile&, MatmulScratch&);

}  // namespace hadal::ops::cpu

#endif
