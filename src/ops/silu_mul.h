// The gate of SwiGLU, with the routing weight inside it. The report's training applies a token's
// routing weight before down_proj, so that combine is a plain sum; one definition serves training
// and inference.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// product[t,i] = weight[t] · silu(gate[t,i]) · up[t,i],    silu(x) = x / (1 + e⁻ˣ)
/// Shazeer 2020, eq. 6. `weight` may be empty: 1 for every row. Computed in float32, rounded once.
void silu_mul(Context& context,
              const Tensor& gate,    // [tokens, intermediate] bf16|f32|f64
              const Tensor& up,      // [tokens, intermediate] same type
              const Tensor& weight,  // [tokens] f32 (f64 for f64), or empty
              Tensor& product);      // [tokens, intermediate] same type; may be `gate` or `up`

struct SiluMulInputs {
    const Tensor& gate;    // [tokens, intermediate]
    const Tensor& up;      // [tokens, intermediate]
    const Tensor& weight;  // [tokens] f32, or empty
};
struct SiluMulGradients {
    Tensor& d_gate;    // [tokens, intermediate]; may be gate
    Tensor& d_up;      // [tokens, intermediate]; may be up
    Tensor& d_weight;  // [tokens] f32; empty where the weight is
};
/// Gradients of the three inputs, overwritten.
///     d_weight[t] = Σ_i d_product[t,i]·silu(gate[t,i])·up[t,i]
void silu_mul_backward(Context& context,
                       const Tensor& d_product,  // [tokens, intermediate]
                       const SiluMulInputs& inputs, SiluMulGradients gradients);

}  // namespace hadal::ops
