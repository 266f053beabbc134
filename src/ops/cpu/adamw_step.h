// Kernels of ops/adamw_step.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

/// The step's numbers, rounded once from double to the state's type S.
template <class S>
struct AdamwFactors {
    S gradient_scale;
    S beta1;
    S one_minus_beta1;
    S beta2;
    S one_minus_beta2;
    S decay;         // 1 − lr·weight_decay
    S step_size;     // lr / (1 − β₁ᵗ)
    S inverse_root;  // 1 / sqrt(1 − β₂ᵗ)
    S epsilon;
};

/// S computes, M is what the moments are stored as, P what the model reads.
template <class S, class M, class P>
struct AdamwRange {
    S* gradient;
    S* master;
    M* m;
    M* v;
    P* parameter;
    AdamwFactors<S> factors;
};
template <Isa isa, class S, class M, class P>
void adamw_range(const AdamwRange<S, M, P>& a, int64_t begin, int64_t end);

}  // namespace hadal::ops::cpu
