// A norm whose output is codes: what ops/rms_norm.h and ops/quantize.h do one after the other, some
// rows at a time in the first-level cache. The bits are the same. Tiles are of one row.
#pragma once

#include "core/context.h"
#include "formats/scale_tile.h"

namespace hadal::ops {

void rms_norm_tiles(Context& context,
                    const Tensor& x,  // [tokens, hidden] bf16
                    const Tensor& w,  // [hidden] bf16
                    double epsilon,
                    Tensor& y,                    // [tokens, hidden] bf16; empty: nobody reads it
                    formats::TiledMatrix& codes,  // [tokens, hidden], of y
                    Tensor& r);                   // [tokens] f32

}  // namespace hadal::ops
