// Kernels of ops/cross_entropy.cpp, one row of logits at a time. L is float or double.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

template <Isa isa, class L>
L row_maximum(const L* logits, int64_t vocab);

/// Σ_v e^{logits[v] − maximum}
template <Isa isa, class L>
L row_sum_of_exponentials(const L* logits, int64_t vocab, L maximum);

/// d_logits[v] = scale·(e^{logits[v] − maximum} / sum − [v = target]), rounded once to D.
template <class L, class D>
struct SoftmaxGradient {
    const L* logits;  // [vocab]
    D* d_logits;      // [vocab], may be logits
    int64_t vocab;
    int64_t target;
    L maximum;
    L sum;
    L scale;
};
template <Isa isa, class L, class D>
void row_softmax_gradient(const SoftmaxGradient<L, D>& a);

}  // namespace hadal::ops::cpu
