// What lies between the products of a gated feed-forward network: product = weight·silu(gate)·up,
// and how gate and up are kept for backward. Where tiles are of one row, each row is quantised and
// dequantised in the cache, and neither the product nor the gradients exist in bf16.
#pragma once

#include "core/context.h"
#include "model/kept_activation.h"
#include "model/linear.h"

namespace hadal::model {

struct SwigluInputs {
    KeptTiles gate;  // [rows, intermediate]
    KeptTiles up;    // [rows, intermediate]
    Tensor weight;   // [rows] f32: the routing weight, or empty
};

/// Keeps gate and up, whose values are there, and computes the product.
void swiglu(Context& context, SwigluInputs inputs,
            Operand& product);  // [rows, intermediate]

/// The product again, from what was kept; where that is in tiles of one row, backward gives it.
void swiglu_again(Context& context, SwigluInputs inputs,
                  Operand& product);  // [rows, intermediate]

/// Gradients at what was kept, and the product again, if swiglu_again left that to be done;
/// d_weight is empty where the weight is.
void swiglu_backward(Context& context,
                     const Tensor& d_product,  // [rows, intermediate]
                     SwigluInputs inputs,
                     Operand& product,   // [rows, intermediate]
                     Operand& d_gate,    // [rows, intermediate]
                     Operand& d_up,      // [rows, intermediate]
                     Tensor& d_weight);  // [rows] f32

}  // namespace hadal::model
