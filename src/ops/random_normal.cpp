#include "ops/random_normal.h"

#include <algorithm>
#include <type_traits>

#include "formats/bfloat16.h"
#include "ops/cpu/random_normal.h"
#include "ops/launch.h"

namespace hadal::ops {

namespace {

template <class T>
T rounded(float z, float deviation) {
    if constexpr (std::is_same_v<T, bf16>) {
        return to_bf16(z * deviation);
    } else {
        return T(z) * T(deviation);
    }
}

}  // namespace

void random_normal(Context& context, RandomStream random, double deviation, Tensor& y) {
    require(y, y.dtype(), y.shape(), "random_normal: y");
    if (!y.contiguous()) throw Error(Error::Kind::internal, "random_normal: y is not contiguous");
    constexpr int64_t kBlock = cpu::kNormalBlock;
    const int64_t count = y.count();
    with_float_type(y.dtype(), "random_normal", [&]<class T>() {
        cpu::with_isa(context.isa, [&]<Isa isa>() {
            T* values = y.data_as<T>();
            context.threads.parallel_for(
                (count + kBlock - 1) / kBlock, rows_per_task(kBlock), [&](int64_t block) {
                    alignas(64) float z[kBlock];
                    cpu::normal_block<isa>(random.seed, random.stream, uint64_t(block), z);
                    const int64_t begin = block * kBlock, n = std::min(kBlock, count - begin);
                    for (int64_t i = 0; i < n; ++i)
                        values[begin + i] = rounded<T>(z[i], float(deviation));
                });
        });
    });
}

}  // namespace hadal::ops
