// One AdamW update of one parameter. Loshchilov & Hutter 2019; report §4.2: β 0.9 / 0.95, weight
// decay 0.1.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

struct AdamwOptions {
    double learning_rate;
    double beta1 = 0.9;
    double beta2 = 0.95;
    double epsilon = 1e-8;
    double weight_decay = 0.1;  // decoupled: master ← master·(1 − lr·weight_decay)
    int64_t step = 1;           // counts from 1: the bias correction's exponent
    double gradient_scale = 1;  // multiplies the gradient first: the clip of the global norm
};

/// m ← β₁m + (1−β₁)g;  v ← β₂v + (1−β₂)g²;  master ← master·(1 − lr·wd) − lr·m̂ / (√v̂ + ε), in
/// float32, elementwise. `parameter` receives master rounded to its type (the copy that the model
/// computes with; may be the same tensor when f32). The gradient is read and set to zero, ready for
/// the next step: one pass less over it.
///
/// bf16 moments (report §3.3.3) are rounded to nearest even when they are stored; this step's
/// update uses them before. bf16 has float32's exponents, so that v does not underflow earlier;
/// what can fail is its decay, see docs/training.md.
void adamw_step(Context& context, const AdamwOptions& options,
                Tensor& gradient,    // [n…] f32|f64
                Tensor& master,      // [n…] same type
                Tensor& m,           // [n…] same type, or bf16 beside f32
                Tensor& v,           // [n…] as m
                Tensor& parameter);  // [n…] bf16|f32|f64

}  // namespace hadal::ops
