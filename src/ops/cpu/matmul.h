// What the matrix-product kernels are given by ops/matmul.cpp: one product in a form that no longer
// knows which operand was stored transposed.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

/// An operand seen as [free, k]: its own dimension by the summed one.
struct MatmulOperand {
    const void* data;
    int64_t stride;     // elements from one stored row to the next
    bool k_contiguous;  // stored [free, k]; otherwise stored [k, free]
};

/// c[m, n] (+)= Σ_k a[m, k]·b[n, k]
struct MatmulProduct {
    MatmulOperand a;
    MatmulOperand b;
    void* c;
    int64_t c_stride;
    int64_t m;
    int64_t n;
    int64_t k;
    bool add;  // adds to what c holds, rounding once
};

/// A rectangle of c.
struct MatmulTile {
    int64_t m_begin;
    int64_t m_count;
    int64_t n_begin;
    int64_t n_count;
};

/// Plain loops, each element summed from k = 0 upwards: for f64, where only gradients are checked.
template <class In, class Out>
void matmul_plain(const MatmulProduct& product, const MatmulTile& tile);

}  // namespace hadal::ops::cpu
