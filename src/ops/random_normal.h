// Normally distributed numbers by the billion, for fresh weights.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Which of the 2⁶⁴ · 2⁶⁴ sequences of numbers.
struct RandomStream {
    uint64_t seed;
    uint64_t stream;
};

/// y[i] = deviation · z[i], z standard normal, rounded to y's type. z[i] is a function of (seed,
/// stream, i) alone: the same for any number of threads, instruction set and type.
///
/// One word of Philox4x32-10 (Salmon, Moraes, Dror, Shaw 2011) gives one number, through the
/// inverse of the normal distribution: Giles' single-precision erfinv (2012), which needs a
/// logarithm, a square root and a polynomial, all without branches. The largest of the 2³²
/// different values is 6.3. z is within 5e-7 · max(1, |z|) of the exact quantile of its word where
/// |z| < 5.4, and within 4e-4 · |z| for the one number in fifteen million beyond.
void random_normal(Context& context, RandomStream random, double deviation,
                   Tensor& y);  // contiguous, bf16|f32|f64

}  // namespace hadal::ops
