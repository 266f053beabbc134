// How a model computes, and what its forward pass keeps for backward.
#pragma once

#include "core/dtype.h"

namespace hadal::model {

struct Precision {
    DType dtype;             // of activations: bf16, f32, or f64 for gradient checks
    bool recompute = false;  // backward computes norms, up-projections and SwiGLU again (§3.2.3)

    Precision(DType type) : dtype(type) {}  // NOLINT: a type alone is a precision
    Precision(DType type, bool compute_again) : dtype(type), recompute(compute_again) {}
};

}  // namespace hadal::model
