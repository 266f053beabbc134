#include "ops/silu_mul_tiles.h"

#include "ops/cpu/silu_mul.h"
#include "ops/launch.h"
#include "ops/tile_rows.h"

namespace hadal::ops {

namespace {

using formats::TiledMatrix;

void check(const TiledMatrix& matrix, const Shape& shape, std::string_view what) {
    formats::require(matrix, shape, what);
    if (matrix.tiling.rows == 1) return;
    throw Error(Error::Kind::internal, concat(what, ": tiles of one row are wanted"));
}

void check(const SiluMulTiles& tiles, const Shape& shape) {
    check(tiles.gate, shape, "silu_mul_tiles: gate");
    check(tiles.up, shape, "silu_mul_tiles: up");
}

void check_weight(const Tensor& weight, int64_t tokens) {
    if (!weight.empty()) require(weight, DType::f32, {tokens}, "silu_mul_tiles: weight");
}

const float* at(const Tensor& weight, int64_t token) {
    return weight.empty() ? nullptr : weight.data_as<float>() + token;
}

/// f.template operator()<isa>(token, rows) for every token, with five rows of scratch memory.
template <class F>
void for_tokens(Context& context, const Shape& shape, const F& f) {
    const Workspace::Scope scope(context.workspace);
    const int64_t stride = (shape[1] + 31) / 32 * 32;
    const auto scratch = context.workspace.take<bf16>(5 * stride * context.threads.size());
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_ranges(
            shape[0], rows_per_task(shape[1]), [&](int64_t begin, int64_t end, int thread) {
                bf16* first = scratch.data() + 5 * stride * thread;
                bf16* const rows[] = {first, first + stride, first + 2 * stride, first + 3 * stride,
                                      first + 4 * stride};
                for (int64_t t = begin; t < end; ++t) f.template operator()<isa>(t, rows);
            });
    });
}

/// Codes and values of this many tokens on are asked for: rows are short, and lie in up to eight
/// places, each of which memory's own prefetching would have to learn.
constexpr int64_t kAhead = 4;

void fetch(const Tensor& values, int64_t token) {
    const bf16* row = values.data_as<bf16>() + token * values.row_stride();
    for (int64_t j = 0; j < values.shape()[1]; j += 32) __builtin_prefetch(row + j);
}

/// One row.
template <Isa isa>
void multiply(const bf16* gate, const bf16* up, const float* weight, int64_t intermediate,
              bf16* product) {
    cpu::silu_mul_rows<isa, bf16>({.gate = gate,
                                   .gate_stride = intermediate,
                                   .up = up,
                                   .up_stride = intermediate,
                                   .weight = weight,
                                   .product = product,
                                   .product_stride = intermediate,
                                   .intermediate = intermediate},
                                  0, 1);
}

}  // namespace

void silu_mul_tiles(Context& context, const Tensor& gate, const Tensor& up, const Tensor& weight,
                    SiluMulTiles& kept, TiledMatrix& product) {
    const auto [tokens, intermediate] = gate.shape<2>();
    require(gate, DType::bf16, gate.shape(), "silu_mul_tiles: gate");
    require(up, DType::bf16, gate.shape(), "silu_mul_tiles: up");
    check(kept, gate.shape());
    check(product, gate.shape(), "silu_mul_tiles: product");
    check_weight(weight, tokens);
    const TileRows kept_gate(kept.gate), kept_up(kept.up), products(product);
    for_tokens(context, gate.shape(), [&, width = intermediate]<Isa isa>(int64_t t, auto& rows) {
        const bf16 *g = gate.row<bf16>(t).data(), *u = up.row<bf16>(t).data();
        fetch(gate, t + kAhead);
        fetch(up, t + kAhead);
        for (const TileRows* written : {&kept_gate, &kept_up, &products}) {
            written->fetch<true>(t + kAhead);
        }
        kept_gate.quantize<isa>(g, t);
        kept_up.quantize<isa>(u, t);
        multiply<isa>(g, u, at(weight, t), width, rows[0]);
        products.quantize<isa>(rows[0], t);
    });
}

void silu_mul_tiles(Context& context, const SiluMulTiles& kept, const Tensor& weight,
                    TiledMatrix& product) {
    const Shape& shape = kept.gate.codes.shape();
    check(kept, shape);
    check(product, shape, "silu_mul_tiles: product");
    check_weight(weight, shape[0]);
    const TileRows gate(kept.gate), up(kept.up), products(product);
    for_tokens(context, shape, [&]<Isa isa>(int64_t t, auto& rows) {
        gate.fetch<false>(t + kAhead);
        up.fetch<false>(t + kAhead);
        products.fetch<true>(t + kAhead);
        gate.dequantize<isa>(t, rows[0]);
        up.dequantize<isa>(t, rows[1]);
        multiply<isa>(rows[0], rows[1], at(weight, t), shape[1], rows[2]);
        products.quantize<isa>(rows[2], t);
    });
}

void silu_mul_tiles_backward(Context& context, const Tensor& d_product, const SiluMulTiles& kept,
                             const Tensor& weight, SiluMulTiles& gradient, TiledMatrix& product,
                             Tensor& d_weight) {
    const Shape& shape = d_product.shape();
    require(d_product, DType::bf16, kept.gate.codes.shape(), "silu_mul_tiles: d_product");
    check(kept, shape);
    check(gradient, shape);
    check(product, shape, "silu_mul_tiles: product");
    check_weight(weight, shape[0]);
    if (!weight.empty()) require(d_weight, DType::f32, {shape[0]}, "silu_mul_tiles: d_weight");
    const TileRows gate(kept.gate), up(kept.up), d_gate(gradient.gate), d_up(gradient.up),
        products(product);
    for_tokens(context, shape, [&]<Isa isa>(int64_t t, auto& rows) {
        fetch(d_product, t + kAhead);
        gate.fetch<false>(t + kAhead);
        up.fetch<false>(t + kAhead);
        d_gate.fetch<true>(t + kAhead);
        d_up.fetch<true>(t + kAhead);
        products.fetch<true>(t + kAhead);
        gate.dequantize<isa>(t, rows[0]);
        up.dequantize<isa>(t, rows[1]);
        const int64_t stride = shape[1];
        cpu::silu_mul_backward_rows<isa, bf16>(
            {.d_product = d_product.row<bf16>(t).data(),
             .d_product_stride = stride,
             .gate = rows[0],
             .gate_stride = stride,
             .up = rows[1],
             .up_stride = stride,
             .weight = at(weight, t),
             .d_gate = rows[2],
             .d_gate_stride = stride,
             .d_up = rows[3],
             .d_up_stride = stride,
             .d_weight = weight.empty() ? nullptr : d_weight.data_as<float>() + t,
             .intermediate = stride,
             .product = rows[4],
             .product_stride = stride},
            0, 1);
        products.quantize<isa>(rows[4], t);
        d_gate.quantize<isa>(rows[2], t);
        d_up.quantize<isa>(rows[3], t);
    });
}

}  // namespace hadal::ops
