// Sums in a fixed order, and elementwise addition.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Σ x² in double. Blocks of a fixed size are summed each on its own, then block by block: thread
/// count does not matter.
double sum_of_squares(Context& context, const Tensor& x);  // [any] bf16|f32|f64, contiguous

/// Whether every element is finite; for `inspect --check` and the trainer's guard.
bool all_finite(Context& context, const Tensor& x);  // [any] bf16|f32|f64|f16, contiguous

/// y += x, rounded once to y's type.
void add(Context& context,
         const Tensor& x,  // [any] bf16|f32|f64
         Tensor& y);       // [any] same shape, same type

}  // namespace hadal::ops
