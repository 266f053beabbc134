#include "model/swiglu.h"

#include "ops/silu_mul.h"
#include "ops/silu_mul_tiles.h"

namespace hadal::model {

namespace {

bool has_row_tiles(const TiledMatrix& tiles) {
    return !tiles.codes.empty() && tiles.tiling.rows == 1;
}

ops::SiluMulTiles tiles_of(const SwigluInputs& inputs) {
    return {inputs.gate.tiles, inputs.up.tiles};
}

void multiply(Context& context, const SwigluInputs& inputs, Operand& product) {
    ops::silu_mul(context, inputs.gate.values, inputs.up.values, inputs.weight, product.values);
    encode(context, product);
}

void restore(Context& context, SwigluInputs& inputs) {
    restore(context, inputs.gate);
    restore(context, inputs.up);
}

}  // namespace

void swiglu(Context& context, SwigluInputs inputs, Operand& product) {
    if (has_row_tiles(inputs.gate.tiles)) {
        ops::SiluMulTiles kept = tiles_of(inputs);
        return ops::silu_mul_tiles(context, inputs.gate.values, inputs.up.values, inputs.weight,
                                   kept, product.tiles);
    }
    store(context, inputs.gate);
    store(context, inputs.up);
    multiply(context, inputs, product);
}

void swiglu_again(Context& context, SwigluInputs inputs, Operand& product) {
    if (has_row_tiles(inputs.gate.tiles)) return;
    restore(context, inputs);
    multiply(context, inputs, product);
}

void swiglu_backward(Context& context, const Tensor& d_product, SwigluInputs inputs,
                     Operand& product, Operand& d_gate, Operand& d_up, Tensor& d_weight) {
    const bool kept_rows = has_row_tiles(inputs.gate.tiles);
    if (kept_rows && has_row_tiles(d_gate.tiles)) {
        ops::SiluMulTiles gradient{d_gate.tiles, d_up.tiles};
        return ops::silu_mul_tiles_backward(context, d_product, tiles_of(inputs), inputs.weight,
                                            gradient, product.tiles, d_weight);
    }
    if (kept_rows) {
        ops::silu_mul_tiles(context, tiles_of(inputs), inputs.weight, product.tiles);
        restore(context, inputs);
    }
    // Where only the gradients have tiles of one row, their values live in the workspace.
    const Workspace::Scope scope(context.workspace);
    Operand gate = d_gate, up = d_up;  // handles
    if (gate.values.empty()) {
        gate.values = context.workspace.take(d_product.shape(), d_product.dtype());
        up.values = context.workspace.take(d_product.shape(), d_product.dtype());
    }
    ops::silu_mul_backward(context, d_product,
                           {inputs.gate.values, inputs.up.values, inputs.weight},
                           {gate.values, up.values, d_weight});
    encode(context, gate);
    encode(context, up);
}

}  // namespace hadal::model
