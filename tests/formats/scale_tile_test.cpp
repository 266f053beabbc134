#include "formats/scale_tile.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "core/random.h"
#include "formats/bfloat16.h"
#include "formats/float8.h"

using hadal::bf16;
using hadal::DType;
using hadal::f8_e4m3;
using hadal::RandomSequence;
using hadal::Shape;
using hadal::Tensor;
namespace formats = hadal::formats;

namespace {

Tensor random_weight(int64_t rows, int64_t columns) {
    Tensor w = Tensor::uninitialized({rows, columns}, DType::f32);
    RandomSequence random(7);
    for (float& value : w.values<float>()) value = float(random.normal());
    return w;
}

struct Quantized {
    Tensor q, scale;
};

Quantized quantize(const Tensor& w) {
    Quantized result{Tensor::uninitialized(w.shape(), DType::f8_e4m3),
                     Tensor::uninitialized(formats::scale_shape(w.shape()), DType::f32)};
    formats::quantize_blocks(w, result.q, result.scale);
    return result;
}

}  // namespace

TEST_CASE("scale_tile: the grid of scales covers the edge blocks") {
    CHECK(formats::scale_shape({576, 7168}) == Shape{5, 56});  // kv_a_proj_with_mqa of V3
    CHECK(formats::scale_shape({128, 128}) == Shape{1, 1});
    CHECK(formats::scale_shape({1, 129}) == Shape{1, 2});
}

TEST_CASE("scale_tile: each element is its code times the scale of its own block") {
    for (const Shape shape : {Shape{1, 1}, Shape{37, 320}, Shape{129, 128}, Shape{260, 257}}) {
        CAPTURE(shape.text());
        const auto [q, scale] = quantize(random_weight(shape[0], shape[1]));
        Tensor single = Tensor::uninitialized(shape, DType::f32);
        Tensor brain = Tensor::uninitialized(shape, DType::bf16);
        formats::dequantize_blocks(q, scale, single);
        formats::dequantize_blocks(q, scale, brain);
        int wrong = 0;
        for (int64_t i = 0; i < shape[0]; ++i) {
            for (int64_t j = 0; j < shape[1]; ++j) {
                const float expected =
                    to_float(q.row<f8_e4m3>(i)[j]) * scale.row<float>(i / 128)[j / 128];
                wrong += single.row<float>(i)[j] != expected;
                wrong += brain.row<bf16>(i)[j] != hadal::to_bf16(expected);
            }
        }
        CHECK(wrong == 0);
    }
}

TEST_CASE(
    "scale_tile: the largest element of a block is kept and the others move by half a step at "
    "most") {
    const Tensor w = random_weight(200, 300);
    const auto [q, scale] = quantize(w);
    Tensor y = Tensor::uninitialized(w.shape(), DType::f32);
    formats::dequantize_blocks(q, scale, y);
    for (int64_t i = 0; i < 200; ++i) {
        for (int64_t j = 0; j < 300; ++j) {
            const float value = w.row<float>(i)[j];
            // Half a step is 2⁻⁴ of the value, or 2⁻¹⁰ of the scale among the subnormals; plus
            // float32's own rounding.
            const float half_step = std::max(std::fabs(value) * 0x1.0p-4f,
                                             scale.row<float>(i / 128)[j / 128] * 0x1.0p-10f);
            CHECK(std::fabs(y.row<float>(i)[j] - value) <= half_step * 1.0001f);
        }
    }
}

TEST_CASE("scale_tile: a block of zeros has scale 1, a block with a NaN shows it") {
    Tensor w = Tensor::zeros({128, 256}, DType::f32);
    w.row<float>(3)[200] = std::numeric_limits<float>::quiet_NaN();
    const auto [q, scale] = quantize(w);
    CHECK(scale.row<float>(0)[0] == 1);
    CHECK(std::isnan(scale.row<float>(0)[1]));
    CHECK(std::isnan(to_float(q.row<f8_e4m3>(3)[200])));
    CHECK(to_float(q.row<f8_e4m3>(3)[100]) == 0);
}

TEST_CASE("scale_tile: a tiling's scales cover the matrix, and rows are cut at edges of tiles") {
    using formats::scale_shape;
    CHECK(scale_shape({300, 200}, formats::kRowTiles) == Shape{300, 2});
    CHECK(scale_shape({300, 200}, formats::kColumnTiles) == Shape{3, 200});
    CHECK(scale_shape({300, 200}, formats::kWholeTensor) == Shape{1, 1});
    CHECK(scale_shape({300, 200}, formats::kMicroscaling) == Shape{300, 7});
    const auto blocks = formats::TiledMatrix::uninitialized({300, 200}, formats::kBlockTiles);
    CHECK(blocks.rows(128, 128).scale.shape() == Shape{1, 2});
    CHECK(blocks.rows(256, 44).scale.shape() == Shape{1, 2});
    CHECK_THROWS_AS(blocks.rows(128, 100), hadal::Error);
    CHECK_THROWS_AS(blocks.rows(64, 64), hadal::Error);
}

TEST_CASE("scale_tile: the scale is the largest magnitude over 448, or the power of two above") {
    using formats::ScaleKind;
    CHECK(formats::tile_scale(0, 448, ScaleKind::f32) == 1);
    CHECK(formats::tile_scale(896, 448, ScaleKind::f32) == 2);
    CHECK(formats::tile_scale(1, 448, ScaleKind::f32) == 1.0f / 448);
    CHECK(formats::tile_scale(1, 448, ScaleKind::power_of_two) == 0x1p-8f);
    CHECK(formats::tile_scale(0.875f, 448, ScaleKind::power_of_two) == 0x1p-9f);
    CHECK(formats::tile_scale(0x1p-149f, 448, ScaleKind::f32) == 1);  // 0 would give 0/0
    CHECK(std::isnan(formats::tile_scale(NAN, 448, ScaleKind::power_of_two)));
}
