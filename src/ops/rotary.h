// Rotary position embedding on interleaved pairs: channels (2i, 2i+1) form pair i, as V3
// checkpoints store them.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Where the rotated channels lie in a row of `heads` heads: head h's pairs start at h·head_dim +
/// offset.
struct RotaryLayout {
    int64_t heads;
    int64_t head_dim;  // elements from one head to the next
    int64_t offset;    // qk_nope_head_dim for q, 0 for k_pe
    int64_t rope_dim;  // qk_rope_head_dim, even
};

enum class RotaryDirection {
    forward,
    backward
};  // backward: the transposed rotation, for gradients

/// In place:  (x₂ᵢ, x₂ᵢ₊₁) ← (x₂ᵢ·cos − x₂ᵢ₊₁·sin, x₂ᵢ₊₁·cos + x₂ᵢ·sin), angles of the token's
/// position. Su et al. 2021, eq. 34. Arithmetic in float32, rounded once. `cos_sin` row p holds
/// cos, sin of pair 0, cos, sin of pair 1, … at position p (model/rotary_scaling makes it).
void rotary(Context& context,
            Tensor& x,  // [tokens, ≥ heads·head_dim] bf16|f32|f64, rows may be strided
            const RotaryLayout& layout,
            const Tensor& cos_sin,    // [positions, rope_dim] f32 (f64 for f64 x)
            const Tensor& positions,  // [tokens] i32, each < positions
            RotaryDirection direction);

}  // namespace hadal::ops
