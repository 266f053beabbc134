#include "ops/silu_mul_tiles.h"

#include <algorithm>

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

/// Some tokens that are worked on together in the first-level cache: enough of them that kernels
/// set out seldom. What lies five times in scratch memory is a piece of a matrix.
struct Piece {
    int64_t token;  // the first
    int64_t count;
    bf16* rows[5];   // [count, intermediate] each
    int64_t stride;  // of these
};
constexpr int64_t kPieceElements = 2048;  // of each
constexpr int64_t kMostRows = 8;

/// f.template operator()<isa>(piece) for all tokens.
template <class F>
void for_pieces(Context& context, const Shape& shape, const F& f) {
    const Workspace::Scope scope(context.workspace);
    const int64_t stride = (shape[1] + 31) / 32 * 32;
    const int64_t rows =
        std::clamp<int64_t>(kPieceElements / std::max<int64_t>(1, stride), 1, kMostRows);
    const auto scratch = context.workspace.take<bf16>(5 * rows * stride * context.threads.size());
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_ranges(
            shape[0], rows_per_task(shape[1]), [&](int64_t begin, int64_t end, int thread) {
                Piece piece{.token = 0, .count = 0, .rows = {}, .stride = stride};
                for (int i = 0; i < 5; ++i) {
                    piece.rows[i] = scratch.data() + (5 * thread + i) * rows * stride;
                }
                for (int64_t t = begin; t < end; t += rows) {
                    piece.token = t;
                    piece.count = std::min(rows, end - t);
                    f.template operator()<isa>(piece);
                }
            });
    });
}

/// Asks for what the next piece will read or write: rows are short, and lie in up to eight places,
/// each of which memory's own prefetching would have to learn.
void fetch(const Tensor& values, const Piece& piece) {
    for (int64_t i = 0; i < piece.count; ++i) {
        const int64_t token = piece.token + piece.count + i;
        const bf16* row = values.data_as<bf16>() + token * values.row_stride();
        for (int64_t j = 0; j < values.shape()[1]; j += 32) __builtin_prefetch(row + j);
    }
}
template <bool for_writing>
void fetch(const TileRows& tiles, const Piece& piece) {
    for (int64_t i = 0; i < piece.count; ++i) {
        tiles.fetch<for_writing>(piece.token + piece.count + i);
    }
}

struct Values {
    const bf16* data;
    int64_t stride;
};
Values values_of(const Tensor& x, const Piece& piece) {
    return {x.data_as<bf16>() + piece.token * x.row_stride(), x.row_stride()};
}

template <Isa isa>
void multiply(const Values& gate, const Values& up, const float* weight, int64_t intermediate,
              const Piece& piece, bf16* product) {
    cpu::silu_mul_rows<isa, bf16>({.gate = gate.data,
                                   .gate_stride = gate.stride,
                                   .up = up.data,
                                   .up_stride = up.stride,
                                   .weight = weight,
                                   .product = product,
                                   .product_stride = piece.stride,
                                   .intermediate = intermediate},
                                  0, piece.count);
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
    for_pieces(context, gate.shape(), [&, width = intermediate]<Isa isa>(const Piece& piece) {
        const auto [t, count, rows, stride] = piece;
        const Values g = values_of(gate, piece), u = values_of(up, piece);
        fetch(gate, piece);
        fetch(up, piece);
        fetch<true>(kept_gate, piece);
        fetch<true>(kept_up, piece);
        fetch<true>(products, piece);
        kept_gate.quantize<isa>(g.data, g.stride, t, count);
        kept_up.quantize<isa>(u.data, u.stride, t, count);
        multiply<isa>(g, u, at(weight, t), width, piece, rows[0]);
        products.quantize<isa>(rows[0], stride, t, count);
    });
}

void silu_mul_tiles(Context& context, const SiluMulTiles& kept, const Tensor& weight,
                    TiledMatrix& product) {
    const Shape& shape = kept.gate.codes.shape();
    check(kept, shape);
    check(product, shape, "silu_mul_tiles: product");
    check_weight(weight, shape[0]);
    const TileRows gate(kept.gate), up(kept.up), products(product);
    for_pieces(context, shape, [&]<Isa isa>(const Piece& piece) {
        const auto [t, count, rows, stride] = piece;
        fetch<false>(gate, piece);
        fetch<false>(up, piece);
        fetch<true>(products, piece);
        gate.dequantize<isa>(t, count, rows[0], stride);
        up.dequantize<isa>(t, count, rows[1], stride);
        multiply<isa>({rows[0], stride}, {rows[1], stride}, at(weight, t), shape[1], piece,
                      rows[2]);
        products.quantize<isa>(rows[2], stride, t, count);
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
    for_pieces(context, shape, [&]<Isa isa>(const Piece& piece) {
        const auto [t, count, rows, stride] = piece;
        const Values d = values_of(d_product, piece);
        fetch(d_product, piece);
        fetch<false>(gate, piece);
        fetch<false>(up, piece);
        fetch<true>(d_gate, piece);
        fetch<true>(d_up, piece);
        fetch<true>(products, piece);
        gate.dequantize<isa>(t, count, rows[0], stride);
        up.dequantize<isa>(t, count, rows[1], stride);
        cpu::silu_mul_backward_rows<isa, bf16>(
            {.d_product = d.data,
             .d_product_stride = d.stride,
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
             .intermediate = shape[1],
             .product = rows[4],
             .product_stride = stride},
            0, count);
        products.quantize<isa>(rows[4], stride, t, count);
        d_gate.quantize<isa>(rows[2], stride, t, count);
        d_up.quantize<isa>(rows[3], stride, t, count);
    });
}

}  // namespace hadal::ops
