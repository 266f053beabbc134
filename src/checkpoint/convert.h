// Change of a loaded tensor's type. Plain loops: runs once per weight, when a model is opened or
// written.
#pragma once

#include "core/tensor.h"

namespace hadal::checkpoint {

/// `tensor` itself if it has that type already, else a copy rounded to nearest even (f64 to the
/// 16-bit types by way of f32). Between f64, f32, bf16 and f16; Error(unsupported) for any other
/// pair.
Tensor converted(const Tensor& tensor, DType dtype);

}  // namespace hadal::checkpoint
