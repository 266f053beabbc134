// What the two attention tests share: tensors of random values, and reading them as double.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "core/context.h"
#include "core/random.h"
#include "core/tensor.h"
#include "formats/bfloat16.h"

namespace hadal::test {

inline double value_at(const Tensor& x, int64_t i, int64_t j) {
    if (x.dtype() == DType::bf16) return to_float(x.row<bf16>(i)[size_t(j)]);
    if (x.dtype() == DType::f32) return x.row<float>(i)[size_t(j)];
    return x.row<double>(i)[size_t(j)];
}

inline void set_at(Tensor& x, int64_t i, int64_t j, double value) {
    if (x.dtype() == DType::bf16) {
        x.row<bf16>(i)[size_t(j)] = to_bf16(float(value));
    } else if (x.dtype() == DType::f32) {
        x.row<float>(i)[size_t(j)] = float(value);
    } else {
        x.row<double>(i)[size_t(j)] = value;
    }
}

/// Row i is a function of (seed, i) alone. `spare` columns of NaN lie between rows: no kernel may
/// read them.
inline Tensor normal_rows(int64_t rows, int64_t columns, DType dtype, uint64_t seed,
                          int64_t spare = 0) {
    Tensor whole = Tensor::zeros({rows, columns + spare}, dtype);
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns + spare; ++j) {
            const double value = random_normal(seed, uint64_t(i), uint64_t(j));
            set_at(whole, i, j, j < columns ? value : std::nan(""));
        }
    }
    return whole.columns(0, columns);
}

inline bool same_row_bits(const Tensor& a, int64_t row_a, const Tensor& b, int64_t row_b) {
    const size_t bytes = size_t(a.shape()[1] * size_of(a.dtype()));
    const int64_t stride_a = a.row_stride() * size_of(a.dtype());
    const int64_t stride_b = b.row_stride() * size_of(b.dtype());
    return std::memcmp(a.data() + row_a * stride_a, b.data() + row_b * stride_b, bytes) == 0;
}

inline bool same_bits_everywhere(const Tensor& a, const Tensor& b) {
    bool same = a.shape() == b.shape() && a.dtype() == b.dtype();
    for (int64_t i = 0; same && i < a.shape()[0]; ++i) same = same_row_bits(a, i, b, i);
    return same;
}

}  // namespace hadal::test
