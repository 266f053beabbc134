// Root-mean-square norm over the last dimension, forward and backward.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// y[t,i] = w[i] · x[t,i] · r[t],    r[t] = 1 / sqrt(mean_i x[t,i]² + epsilon)
/// Zhang & Sennrich 2019, eq. 4. Statistics in float32 (f64 for f64), one rounding at the end. Rows
/// of x may be strided (the latent part of kv_a's output). `y` may be `x`. Backward needs only r: 4
/// bytes a token.
void rms_norm(Context& context,
              const Tensor& x,  // [tokens, hidden] bf16|f32|f64
              const Tensor& w,  // [hidden] same type
              double epsilon,   // config.json rms_norm_eps, 1e-6
              Tensor& y,        // [tokens, hidden] same type
              Tensor& r);       // [tokens] f32 (f64 for f64)

/// dx[t,i] (+)= r[t]·(w[i]·dy[t,i] − x̂[t,i]·mean_j(w[j]·dy[t,j]·x̂[t,j])),    x̂ = x·r
/// `add` true adds to what dx holds (the residual stream's gradient). `dx` may be `dy`. Rows of dx
/// and x may be strided.
void rms_norm_backward_input(Context& context,
                             const Tensor& dy,  // [tokens, hidden]
                             const Tensor& x,   // [tokens, hidden]
                             const Tensor& w,   // [hidden]
                             const Tensor& r,   // [tokens] f32
                             bool add,
                             Tensor& dx);  // [tokens, hidden]

/// dw[i] += Σ_t dy[t,i]·x[t,i]·r[t], tokens in a fixed order.
void rms_norm_backward_weight(Context& context,
                              const Tensor& dy,  // [tokens, hidden]
                              const Tensor& x,   // [tokens, hidden]
                              const Tensor& r,   // [tokens] f32
                              Tensor& dw);       // [hidden] f32 (f64 for f64)

}  // namespace hadal::ops
