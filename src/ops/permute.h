// Tokens to experts and back: the order of rows by expert, gathering, combining. No token is ever
// dropped.
#pragma once

#include <span>

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// Rows = tokens·top_k (token, slot) pairs sorted by expert, stable in (token, slot).
///     offsets[e] … offsets[e+1]: the rows of expert e
///     row_source[r] = token·top_k + slot;    slot_row[token, slot] = r, its inverse
void expert_order(Context& context,
                  const Tensor& ids,           // [tokens, top_k] i32, each in [0, n_routed_experts)
                  std::span<int64_t> offsets,  // n_routed_experts + 1
                  Tensor& row_source,          // [tokens·top_k] i32
                  Tensor& slot_row);           // [tokens, top_k] i32

/// y[r] = x[row_source[r] / top_k]. Forward of dispatch; backward of combine.
void gather_rows(Context& context,
                 const Tensor& x,           // [tokens, hidden] bf16|f32|f64
                 const Tensor& row_source,  // [rows] i32
                 int64_t top_k,
                 Tensor& y);  // [rows, hidden] same type

/// y[r] = values[row_source[r]]: routing weights into expert order; scatter is the way back.
void gather_values(Context& context,
                   const Tensor& values,      // [tokens, top_k] f32|f64
                   const Tensor& row_source,  // [rows] i32
                   Tensor& y);                // [rows] same type
void scatter_values(Context& context,
                    const Tensor& y,           // [rows] f32|f64
                    const Tensor& row_source,  // [rows] i32
                    Tensor& values);           // [tokens, top_k] same type

/// y[t] (+)= Σ_slot rows[slot_row[t, slot]], slots in order, in float32, rounded once. Forward of
/// combine; backward of dispatch. `add` true adds to what y holds.
void combine_rows(Context& context,
                  const Tensor& rows,      // [tokens·top_k, hidden] bf16|f32|f64
                  const Tensor& slot_row,  // [tokens, top_k] i32
                  bool add,
                  Tensor& y);  // [tokens, hidden] same type

}  // namespace hadal::ops
