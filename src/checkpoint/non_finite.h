// Damaged weights: a NaN or an infinity that training left, or a download turned over.
#pragma once

#include <cstdint>

#include "core/tensor.h"

namespace hadal::checkpoint {

/// How many elements are NaN or infinite, in a contiguous tensor of any type. A float8 weight and
/// its scales are two tensors: each counts its own.
int64_t count_non_finite(const Tensor& tensor);

}  // namespace hadal::checkpoint
