// A norm before linear layers: its output is their operand. With FP8 in tiles of one row there are
// codes only, as the products read them.
#pragma once

#include "model/linear.h"

namespace hadal::model {

/// y = rms_norm(x), values and tiles, where it has them.
void norm(Context& context,
          const Tensor& x,  // [tokens, hidden]
          const Tensor& w,  // [hidden]
          double epsilon, Operand& y,
          Tensor& r);  // [tokens] f32 (f64 for f64)

}  // namespace hadal::model
