#include "ops/rms_norm_tiles.h"

#include <doctest/doctest.h>

#include "ops/fp8_support.h"
#include "ops/quantize.h"
#include "ops/rms_norm.h"

namespace hadal {

namespace {

using formats::TiledMatrix;
using formats::Tiling;

constexpr double kEpsilon = 1e-6;
constexpr std::pair<int64_t, int64_t> kShapes[] = {
    {0, 128}, {1, 1}, {7, 128}, {33, 200}, {70, 704}};
constexpr Tiling kRowTilings[] = {
    formats::kRowTiles, formats::kMicroscaling, {1, 128, formats::ScaleKind::power_of_two}};

}  // namespace

TEST_CASE("rms_norm_tiles: every bit is that of the norm and of the quantiser") {
    test::for_each_isa([](Context& context) {
        for (const Tiling& tiling : kRowTilings) {
            for (const auto& [tokens, hidden] : kShapes) {
                CAPTURE(test::text(tiling));
                CAPTURE(tokens);
                CAPTURE(hidden);
                const Shape shape{tokens, hidden};
                const Tensor wide = test::random_tensor({tokens, hidden + 16}, DType::bf16, 1, 2);
                const Tensor x = wide.columns(0, hidden);  // as the latent part of kv_a's output
                const Tensor w = test::random_tensor({hidden}, DType::bf16, 2);
                Tensor y = Tensor::zeros(shape, DType::bf16), same = y.clone(), none;
                Tensor r = Tensor::zeros({tokens}, DType::f32), same_r = r.clone();
                TiledMatrix codes = TiledMatrix::uninitialized(shape, tiling);
                ops::rms_norm(context, x, w, kEpsilon, y, r);
                ops::quantize_tiles(context, y, codes);
                for (Tensor* to : {&same, &none}) {
                    TiledMatrix fused = TiledMatrix::uninitialized(shape, tiling);
                    ops::rms_norm_tiles(context, x, w, kEpsilon, *to, fused, same_r);
                    CHECK(test::same_bits(fused.codes, codes.codes));
                    CHECK(test::same_bits(fused.scale, codes.scale));
                    CHECK(test::same_bits(same_r, r));
                }
                CHECK(test::same_bits(same, y));
            }
        }
    });
}

TEST_CASE("rms_norm_tiles: tiles of several rows are refused") {
    test::for_each_isa([](Context& context) {
        const Tensor x = test::random_tensor({4, 128}, DType::bf16, 1);
        const Tensor w = test::random_tensor({128}, DType::bf16, 2);
        Tensor none, r = Tensor::zeros({4}, DType::f32);
        TiledMatrix blocks = TiledMatrix::uninitialized({4, 128}, formats::kBlockTiles);
        CHECK_THROWS_AS(ops::rms_norm_tiles(context, x, w, kEpsilon, none, blocks, r), Error);
    });
}

}  // namespace hadal
