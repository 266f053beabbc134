// Rows of a table by id, and the gradient of the table.
#pragma once

#include "core/context.h"
#include "core/tensor.h"

namespace hadal::ops {

/// y[t] = table[ids[t]]. Ids outside the table are an Error(bad_input) naming the id and the
/// vocabulary's size.
void embedding(Context& context,
               const Tensor& ids,    // [tokens] i32
               const Tensor& table,  // [vocab, hidden] bf16|f32|f64
               Tensor& y);           // [tokens, hidden] same type

/// d_table[v] += Σ_{t: ids[t] = v} dy[t], tokens in rising order.
void embedding_backward(Context& context,
                        const Tensor& ids,  // [tokens] i32
                        const Tensor& dy,   // [tokens, hidden]
                        Tensor& d_table);   // [vocab, hidden] f32 (f64 for f64)

}  // namespace hadal::ops
