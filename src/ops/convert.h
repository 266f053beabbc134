// Elementwise change of type, round to nearest even.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// y = x in y's type; any of bf16, f16, f32, f64 to any of them. Rows of both may be strided.
void convert(Context& context, const Tensor& x, Tensor& y);

/// y = x, of one type and shape, by all threads: one thread's stores alone do not fill the memory's
/// bandwidth.
void copy(Context& context, const Tensor& x, Tensor& y);

}  // namespace hadal::ops
