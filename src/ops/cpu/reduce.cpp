#include "ops/cpu/reduce.h"

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {

template <Isa isa, class T>
double sum_of_squares(const T* x, int64_t n) {
    if constexpr (sizeof(T) == sizeof(double)) {
        double sum = 0;
        for (int64_t i = 0; i < n; ++i) sum += x[i] * x[i];
        return sum;
    } else {
        using V = Vector<isa, T>;
        SquareSum<isa> sums[2];
        int64_t i = 0;
        for (; i + 2 * V::kLanes <= n; i += 2 * V::kLanes) {
            sums[0].add(V::load(x + i, Whole{}));
            sums[1].add(V::load(x + i + V::kLanes, Whole{}));
        }
        for_each_vector<V>(n - i,
                           [&](int64_t j, auto part) { sums[0].add(V::load(x + i + j, part)); });
        return sums[0].total() + sums[1].total();
    }
}

template <Isa isa, class T>
bool all_finite(const T* x, int64_t n) {
    using V = Vector<isa, T>;
    // 0·x is zero for finite x and NaN for the rest; a NaN in a sum stays there.
    const auto sum = sum_lanes(
        sum_vectors<V>(n, [&](int64_t i, auto part) { return V::load(x + i, part) * V::all(0); }));
    return sum == 0;
}

template <Isa isa, class T>
void add_to(const T* x, T* y, int64_t n) {
    using V = Vector<isa, T>;
    for_each_vector<V>(n, [&](int64_t i, auto part) {
        store(y + i, V::load(y + i, part) + V::load(x + i, part), part);
    });
}

#define HADAL_INSTANTIATE(T)                                                   \
    template double sum_of_squares<Isa::HADAL_THIS_ISA, T>(const T*, int64_t); \
    template bool all_finite<Isa::HADAL_THIS_ISA, T>(const T*, int64_t);       \
    template void add_to<Isa::HADAL_THIS_ISA, T>(const T*, T*, int64_t);
HADAL_INSTANTIATE(bf16)
HADAL_INSTANTIATE(float)
HADAL_INSTANTIATE(double)
#undef HADAL_INSTANTIATE

}  // namespace hadal::ops::cpu
