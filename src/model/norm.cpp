#include "model/norm.h"

#include "ops/rms_norm.h"
#include "ops/rms_norm_tiles.h"

namespace hadal::model {

void norm(Context& context, const Tensor& x, const Tensor& w, double epsilon, Operand& y,
          Tensor& r) {
    if (!y.tiles.codes.empty() && y.tiles.tiling.rows == 1) {
        return ops::rms_norm_tiles(context, x, w, epsilon, y.values, y.tiles, r);
    }
    ops::rms_norm(context, x, w, epsilon, y.values, r);
    encode(context, y);
}

}  // namespace hadal::model
