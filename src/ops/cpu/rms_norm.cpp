// Two passes over a row that the first pass leaves in the L1 cache: memory sees each tensor once.
#include "ops/cpu/rms_norm.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
void rms_norm_rows(const RmsNormForward<T>& a, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    using S = Statistic<T>;
    for (int64_t t = begin; t < end; ++t) {
        const T* x = a.x + t * a.x_stride;
        T* y = a.y + t * a.y_stride;
        const S sum = sum_lanes(sum_vectors<V>(a.hidden, [&](int64_t i, auto part) {
            const V x_i = V::load(x + i, part);
            return x_i * x_i;
        }));
        const S r = S(1 / __builtin_sqrt(double(sum) / double(a.hidden) + a.epsilon));
        // The next row comes from memory while this one is scaled out of the cache: the sum is not
        // kept waiting.
        const T* next = t + 1 < end ? x + a.x_stride : x;
        for_each_vector<V>(a.hidden, [&](int64_t i, auto part) {
            __builtin_prefetch(next + i);
            store(y + i, V::load(a.w + i, part) * (V::load(x + i, part) * V::all(r)), part);
        });
        a.r[t] = r;
    }
}

template <Isa isa, class T>
void rms_norm_backward_input_rows(const RmsNormBackward<T>& a, bool add, T* dx_rows,
                                  int64_t dx_stride, int64_t begin, int64_t end) {
    using V = Vector<isa, T>;
    using S = Statistic<T>;
    for (int64_t t = begin; t < end; ++t) {
        const T* dy = a.dy + t * a.dy_stride;
        const T* x = a.x + t * a.x_stride;
        T* dx = dx_rows + t * dx_stride;
        const S sum = sum_lanes(sum_vectors<V>(a.hidden, [&](int64_t i, auto part) {
            return V::load(a.w + i, part) * V::load(dy + i, part) * V::load(x + i, part);
        }));
        const S r = a.r[t];
        const V factor = V::all(r * r * sum / S(a.hidden));  // x̂·mean(w·dy·x̂) = x·factor
        for_each_vector<V>(a.hidden, [&](int64_t i, auto part) {
            const V scaled = V::load(a.w + i, part) * V::load(dy + i, part);
            V value = (scaled - V::load(x + i, part) * factor) * V::all(r);
            if (add) value = value + V::load(dx + i, part);
            store(dx + i, value, part);
        });
    }
}

template <Isa isa, class T>
void rms_norm_weight_chunk(const RmsNormBackward<T>& a, int64_t begin, int64_t end,
                           Statistic<T>* partial) {
    using V = Vector<isa, T>;
    constexpr int64_t kRows =
        8;  // rows walked side by side: as many streams as the prefetchers follow
    for (int64_t first = begin; first < end; first += kRows) {
        const int64_t last = first + kRows < end ? first + kRows : end;
        for_each_vector<V>(a.hidden, [&](int64_t i, auto part) {
            V sum = first == begin ? V::all(0) : V::load(partial + i, part);
            for (int64_t t = first; t < last; ++t) {
                const V dy = V::load(a.dy + t * a.dy_stride + i, part);
                const V x = V::load(a.x + t * a.x_stride + i, part);
                sum = fma(dy * V::all(a.r[t]), x, sum);
            }
            store(partial + i, sum, part);
        });
    }
}

#define HADAL_INSTANTIATE(T)                                                               \
    template void rms_norm_rows<Isa::HADAL_THIS_ISA, T>(const RmsNormForward<T>&, int64_t, \
                                                        int64_t);                          \
    template void rms_norm_backward_input_rows<Isa::HADAL_THIS_ISA, T>(                    \
        const RmsNormBackward<T>&, bool, T*, int64_t, int64_t, int64_t);                   \
    template void rms_norm_weight_chunk<Isa::HADAL_THIS_ISA, T>(const RmsNormBackward<T>&, \
                                                                int64_t, int64_t, Statistic<T>*);
HADAL_INSTANTIATE(bf16)
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(double)
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
