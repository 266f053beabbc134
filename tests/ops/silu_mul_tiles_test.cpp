#include "ops/silu_mul_tiles.h"

#include <doctest/doctest.h>

#include "ops/fp8_support.h"
#include "ops/quantize.h"
#include "ops/silu_mul.h"

namespace hadal {

namespace {

using formats::TiledMatrix;
using formats::Tiling;
using ops::SiluMulTiles;

constexpr std::pair<int64_t, int64_t> kShapes[] = {{0, 128}, {1, 1}, {7, 128}, {33, 200}, {5, 704}};
constexpr Tiling kRowTilings[] = {
    formats::kRowTiles, formats::kMicroscaling, {1, 128, formats::ScaleKind::power_of_two}};

void check_same(const TiledMatrix& a, const TiledMatrix& b) {
    CHECK(test::same_bits(a.codes, b.codes));
    CHECK(test::same_bits(a.scale, b.scale));
}

/// What the operators that go through bf16 make of the same numbers.
struct Separate {
    SiluMulTiles kept, gradient;
    TiledMatrix product, product_of_kept;
    Tensor d_weight;
};

struct Numbers {
    Tensor gate, up, d_product, weight;
};

Separate separately(Context& context, const Numbers& x, const Tiling& tiling, DType gradient) {
    const Shape& shape = x.gate.shape();
    const auto tiles = [&](DType codes) {
        return TiledMatrix::uninitialized(shape, tiling, codes);
    };
    const DType e4m3 = DType::f8_e4m3;
    Separate result{{tiles(e4m3), tiles(e4m3)},
                    {tiles(gradient), tiles(gradient)},
                    tiles(e4m3),
                    tiles(e4m3),
                    x.weight.empty() ? Tensor() : Tensor::zeros({shape[0]}, DType::f32)};
    Tensor product = Tensor::zeros(shape, DType::bf16), gate = product.clone();
    Tensor up = product.clone(), d_gate = product.clone(), d_up = product.clone();
    ops::silu_mul(context, x.gate, x.up, x.weight, product);
    ops::quantize_tiles(context, product, result.product);
    ops::quantize_tiles(context, x.gate, result.kept.gate);
    ops::quantize_tiles(context, x.up, result.kept.up);
    ops::dequantize_tiles(context, result.kept.gate, gate);
    ops::dequantize_tiles(context, result.kept.up, up);
    ops::silu_mul(context, gate, up, x.weight, product);
    ops::quantize_tiles(context, product, result.product_of_kept);
    ops::silu_mul_backward(context, x.d_product, {gate, up, x.weight},
                           {d_gate, d_up, result.d_weight});
    ops::quantize_tiles(context, d_gate, result.gradient.gate);
    ops::quantize_tiles(context, d_up, result.gradient.up);
    return result;
}

Numbers numbers(const Shape& shape, bool weighted) {
    return {test::random_tensor(shape, DType::bf16, 1, 2),
            test::random_tensor(shape, DType::bf16, 2),
            test::random_tensor(shape, DType::bf16, 3, 1e-4),
            weighted ? test::random_tensor({shape[0]}, DType::f32, 4) : Tensor()};
}

}  // namespace

TEST_CASE("silu_mul_tiles: every bit is that of the operators that go through bf16") {
    test::for_each_isa([](Context& context) {
        for (const Tiling& tiling : kRowTilings) {
            for (const auto& [tokens, intermediate] : kShapes) {
                for (const bool weighted : {false, true}) {
                    CAPTURE(test::text(tiling));
                    CAPTURE(tokens);
                    CAPTURE(intermediate);
                    const Shape shape{tokens, intermediate};
                    const DType codes = weighted ? DType::f8_e5m2 : DType::f8_e4m3;
                    const Numbers x = numbers(shape, weighted);
                    const Separate expected = separately(context, x, tiling, codes);
                    const auto tiles = [&](DType type) {
                        return TiledMatrix::uninitialized(shape, tiling, type);
                    };
                    SiluMulTiles kept{tiles(DType::f8_e4m3), tiles(DType::f8_e4m3)};
                    SiluMulTiles gradient{tiles(codes), tiles(codes)};
                    TiledMatrix product = tiles(DType::f8_e4m3);
                    Tensor d_weight = weighted ? Tensor::zeros({tokens}, DType::f32) : Tensor();
                    ops::silu_mul_tiles(context, x.gate, x.up, x.weight, kept, product);
                    check_same(product, expected.product);
                    check_same(kept.gate, expected.kept.gate);
                    check_same(kept.up, expected.kept.up);
                    ops::silu_mul_tiles(context, kept, x.weight, product);
                    check_same(product, expected.product_of_kept);
                    TiledMatrix again = tiles(DType::f8_e4m3);
                    ops::silu_mul_tiles_backward(context, x.d_product, kept, x.weight, gradient,
                                                 again, d_weight);
                    check_same(again, expected.product_of_kept);
                    check_same(gradient.gate, expected.gradient.gate);
                    check_same(gradient.up, expected.gradient.up);
                    if (weighted) CHECK(test::same_bits(d_weight, expected.d_weight));
                }
            }
        }
    });
}

TEST_CASE("silu_mul_tiles: the number of threads changes no bit") {
    test::check_thread_independence([](Context& context) {
        const Shape shape{300, 320};
        const Numbers x = numbers(shape, true);
        SiluMulTiles kept{TiledMatrix::uninitialized(shape, formats::kRowTiles),
                          TiledMatrix::uninitialized(shape, formats::kRowTiles)};
        TiledMatrix product = TiledMatrix::uninitialized(shape, formats::kRowTiles);
        ops::silu_mul_tiles(context, x.gate, x.up, x.weight, kept, product);
        return std::vector<Tensor>{kept.gate.codes, kept.up.codes, product.codes, product.scale};
    });
}

TEST_CASE("silu_mul_tiles: tiles of several rows and shapes that do not fit are named") {
    test::OwnContext context;
    const Shape shape{4, 128};
    const Numbers x = numbers(shape, false);
    const auto tiles = [&](const Tiling& tiling) {
        return TiledMatrix::uninitialized(shape, tiling);
    };
    SiluMulTiles kept{tiles(formats::kRowTiles), tiles(formats::kRowTiles)};
    TiledMatrix blocks = tiles(formats::kBlockTiles);
    CHECK_THROWS_AS(ops::silu_mul_tiles(context, x.gate, x.up, Tensor(), kept, blocks), Error);
    const Tensor narrow = Tensor::zeros({4, 127}, DType::bf16);
    TiledMatrix product = tiles(formats::kRowTiles);
    CHECK_THROWS_AS(ops::silu_mul_tiles(context, x.gate, narrow, Tensor(), kept, product), Error);
}

}  // namespace hadal
