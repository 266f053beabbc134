#include "ops/quantize.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "formats/e5m6.h"
#include "ops/fp8_support.h"

namespace hadal {

namespace {

using formats::kBlockTiles;
using formats::kColumnTiles;
using formats::kMicroscaling;
using formats::kMicroscalingColumns;
using formats::kRowTiles;
using formats::kWholeTensor;
using formats::ScaleKind;
using formats::TiledMatrix;
using formats::Tiling;

constexpr Tiling kTilings[] = {kRowTiles,
                               kBlockTiles,
                               kColumnTiles,
                               kMicroscaling,
                               kMicroscalingColumns,
                               kWholeTensor,
                               {1, 128, ScaleKind::power_of_two},
                               {128, 128, ScaleKind::power_of_two},
                               {3, 5}};

constexpr std::pair<int64_t, int64_t> kShapes[] = {{1, 1},   {0, 128}, {3, 128},   {129, 257},
                                                   {70, 33}, {5, 640}, {256, 512}, {300, 131}};

/// Rows of very different sizes, zeros among them; some elements are ties.
Tensor wide_range(const Shape& shape, DType type, uint64_t seed) {
    return test::with_gaps(test::filled(shape, type, [&](int64_t i) {
        const auto row = uint64_t(i / shape[1]);
        if (row % 7 == 3) return 0.0;
        const double value = random_normal(seed, 0, uint64_t(i));
        if (i % 5 == 0) return std::ldexp(std::round(value * 16) / 16, int(row % 3));
        return value * std::exp(4 * random_normal(seed, 1, row));
    }));
}

int wrong_codes(const TiledMatrix& a, const TiledMatrix& b) {
    int wrong = 0;
    const Tensor x = a.codes.clone(), y = b.codes.clone();
    const auto* first = reinterpret_cast<const uint8_t*>(x.data());
    const auto* second = reinterpret_cast<const uint8_t*>(y.data());
    for (int64_t i = 0; i < x.count(); ++i) wrong += first[i] != second[i];
    return wrong;
}

void check_same(const TiledMatrix& q, const TiledMatrix& expected) {
    CHECK(test::same_bits(q.scale, expected.scale));
    CHECK(wrong_codes(q, expected) == 0);
}

}  // namespace

TEST_CASE("quantize: every bit is that of the plain loops, for every tiling") {
    test::for_each_isa([](Context& context) {
        for (const DType type : {DType::f32, DType::bf16}) {
            for (const DType codes : {DType::f8_e4m3, DType::f8_e5m2}) {
                for (const Tiling& tiling : kTilings) {
                    for (const auto& [rows, columns] : kShapes) {
                        CAPTURE(test::text(tiling));
                        CAPTURE(rows);
                        CAPTURE(columns);
                        const Shape shape{rows, columns};
                        const Tensor x = wide_range(shape, type, 3);
                        TiledMatrix expected = TiledMatrix::uninitialized(shape, tiling, codes);
                        formats::quantize_tiles(x, expected);
                        TiledMatrix q = TiledMatrix::uninitialized(shape, tiling, codes);
                        ops::quantize_tiles(context, x, q);
                        check_same(q, expected);
                        Tensor y = Tensor::zeros(shape, type), y_expected = y.clone();
                        ops::dequantize_tiles(context, q, y);
                        formats::dequantize_tiles(q, y_expected);
                        CHECK(test::same_bits(y, y_expected));
                    }
                }
            }
        }
    });
}

TEST_CASE("quantize: every code comes back as its value, a NaN as a NaN") {
    for (const DType codes : {DType::f8_e4m3, DType::f8_e5m2}) {
        TiledMatrix q = TiledMatrix::uninitialized({1, 256}, kWholeTensor, codes);
        for (int i = 0; i < 256; ++i) reinterpret_cast<uint8_t*>(q.codes.data())[i] = uint8_t(i);
        q.scale.values<float>()[0] = 2;
        test::for_each_isa([&](Context& context) {
            Tensor y = Tensor::zeros({1, 256}, DType::f32);
            ops::dequantize_tiles(context, q, y);
            int wrong = 0;
            for (int64_t i = 0; i < 256; ++i) {
                const double expected = test::value_at(q, 0, i), value = test::value_at(y, i);
                wrong += !(value == expected || (std::isnan(value) && std::isnan(expected)));
            }
            CHECK(wrong == 0);
        });
    }
}

TEST_CASE("quantize: the quotient is a true division's for any pair of bf16 values") {
    // Every magnitude of a binade against scales of every fraction, where a wrong last bit of the
    // quotient would show at a tie.
    constexpr int64_t kRows = 128, kColumns = 128;
    for (const DType codes : {DType::f8_e4m3, DType::f8_e5m2}) {
        const Tensor x = test::filled({kRows, kColumns}, DType::bf16, [](int64_t i) {
            const double largest = 1 + double(i / kColumns) / 128;
            if (i % kColumns == 0) return 2 * largest;
            return (1 + double(i % kColumns) / 128) * (i % 2 == 0 ? 1 : -0.0625);
        });
        TiledMatrix expected = TiledMatrix::uninitialized(x.shape(), kRowTiles, codes);
        formats::quantize_tiles(x, expected);
        test::for_each_isa([&](Context& context) {
            TiledMatrix q = TiledMatrix::uninitialized(x.shape(), kRowTiles, codes);
            ops::quantize_tiles(context, x, q);
            check_same(q, expected);
        });
    }
}

TEST_CASE("quantize: the quotient of float32 values beside a tie is a true division's") {
    // Scales of many fractions; x at each tie between two codes and up to two units beside it.
    constexpr int64_t kRows = 509, kColumns = 128;
    const Tensor x = test::filled({kRows, kColumns}, DType::f32, [](int64_t i) {
        const int64_t row = i / kColumns, column = i % kColumns;
        const float scale = 1 + float(row * 16381 % (1 << 23)) * 0x1p-23f;
        if (column == 0) return double(scale * 448);
        float tie = scale * (1 + float(column % 32 | 1) / 32);
        for (int64_t step = 0; step < std::abs(column / 32 % 5 - 2); ++step) {
            tie = std::nextafter(tie, column / 32 % 5 < 2 ? 0.0f : 8.0f);
        }
        return double(tie);
    });
    for (const Tiling& tiling : {kRowTiles, Tiling{1, 1}, Tiling{128, 1}}) {
        TiledMatrix expected = TiledMatrix::uninitialized(x.shape(), tiling);
        formats::quantize_tiles(x, expected);
        test::for_each_isa([&](Context& context) {
            TiledMatrix q = TiledMatrix::uninitialized(x.shape(), tiling);
            ops::quantize_tiles(context, x, q);
            check_same(q, expected);
        });
    }
}

TEST_CASE("quantize: tiny, huge and absent numbers end as in the plain loops") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    for (const float special :
         {0x1p-149f, 0x1p-130f, 0x1p-100f, 0x1p120f, 3e38f, kInfinity, kNaN}) {
        CAPTURE(special);
        const Tensor x = test::filled({140, 150}, DType::f32, [&](int64_t i) {
            if (i == 1000) return double(special);
            return std::isfinite(special) ? double(special) * std::cos(double(i)) : double(i % 7);
        });
        for (const Tiling& tiling : kTilings) {
            CAPTURE(test::text(tiling));
            TiledMatrix expected = TiledMatrix::uninitialized(x.shape(), tiling);
            formats::quantize_tiles(x, expected);
            test::for_each_isa([&](Context& context) {
                TiledMatrix q = TiledMatrix::uninitialized(x.shape(), tiling);
                ops::quantize_tiles(context, x, q);
                int wrong = 0;
                for (int64_t i = 0; i < x.shape()[0]; ++i) {
                    for (int64_t j = 0; j < x.shape()[1]; ++j) {
                        const double a = test::value_at(q, i, j);
                        const double b = test::value_at(expected, i, j);
                        wrong += !(a == b || (std::isnan(a) && std::isnan(b)));
                    }
                }
                CHECK(wrong == 0);
            });
        }
    }
}

TEST_CASE("quantize: a power-of-two scale is the least that lets nothing saturate") {
    test::for_each_isa([](Context& context) {
        const Tensor x = wide_range({40, 256}, DType::f32, 9);
        TiledMatrix q = TiledMatrix::uninitialized(x.shape(), {1, 128, ScaleKind::power_of_two});
        ops::quantize_tiles(context, x, q);
        for (int64_t i = 0; i < 40; ++i) {
            for (int64_t tile = 0; tile < 2; ++tile) {
                double largest = 0;
                for (int64_t j = 0; j < 128; ++j) {
                    largest =
                        std::max(largest, std::abs(test::value_at(x, i * 256 + tile * 128 + j)));
                }
                if (largest == 0) continue;
                const double scale = q.scale.row<float>(i)[size_t(tile)];
                CHECK(std::exp2(std::round(std::log2(scale))) == scale);
                CHECK(largest <= 448 * scale);
                CHECK(largest > 224 * scale);
            }
        }
    });
}

TEST_CASE("quantize: an expert's tiles along the tokens begin at its first token") {
    constexpr int64_t kColumns = 200;
    const int64_t tokens[] = {130, 0, 1, 128, 300};
    for (const Tiling& from_tiling : {kRowTiles, kMicroscaling, kBlockTiles, kWholeTensor}) {
        test::for_each_isa([&](Context& context) {
            CAPTURE(test::text(from_tiling));
            std::vector<ops::Requantization> list;
            uint64_t seed = 1;
            for (const int64_t count : tokens) {
                const Shape shape{count, kColumns};
                list.push_back({test::random_tiles(shape, from_tiling, ++seed, DType::f8_e4m3, 3),
                                TiledMatrix::uninitialized(shape, kColumnTiles)});
            }
            ops::requantize_tiles(context, list);
            for (const ops::Requantization& item : list) {
                Tensor values = Tensor::zeros(item.from.codes.shape(), DType::f32);
                formats::dequantize_tiles(item.from, values);
                TiledMatrix expected =
                    TiledMatrix::uninitialized(item.from.codes.shape(), kColumnTiles);
                formats::quantize_tiles(values, expected);
                check_same(item.to, expected);
            }
        });
    }
}

TEST_CASE("quantize: from tiles of a row to tiles of a column, every bit is the plain loops'") {
    constexpr float kNaN = std::numeric_limits<float>::quiet_NaN();
    const Tiling targets[] = {
        kColumnTiles, kMicroscalingColumns, {128, 1, ScaleKind::power_of_two}};
    for (const DType codes : {DType::f8_e4m3, DType::f8_e5m2}) {
        for (const Tiling& target : targets) {
            for (const float special : {1.0f, 0.0f, 0x1p-120f, kNaN}) {
                CAPTURE(test::text(target));
                CAPTURE(special);
                const Shape shape{300, 600};
                TiledMatrix from = test::random_tiles(shape, kRowTiles, 5, codes, 3);
                from.scale.row<float>(7)[1] = special;
                if (special == 0 && codes == DType::f8_e4m3) {  // a NaN of the same bits everywhere
                    from.codes.data()[9 * from.codes.row_stride()] = std::byte{0x7F};
                }
                Tensor values = Tensor::zeros(shape, DType::f32);
                formats::dequantize_tiles(from, values);
                TiledMatrix expected = TiledMatrix::uninitialized(shape, target, codes);
                formats::quantize_tiles(values, expected);
                test::for_each_isa([&](Context& context) {
                    TiledMatrix to = TiledMatrix::uninitialized(shape, target, codes);
                    ops::requantize_tiles(context, from, to);
                    check_same(to, expected);
                });
            }
        }
    }
}

TEST_CASE("quantize: E5M6 comes back within half a step, from three bytes for two values") {
    for (const int64_t columns : {1, 2, 127, 128, 129, 383}) {
        for (const DType type : {DType::f32, DType::bf16}) {
            const Tensor x = wide_range({9, columns}, type, 4);
            test::for_each_isa([&](Context& context) {
                CAPTURE(columns);
                Tensor packed = Tensor::zeros({9, e5m6_row_bytes(columns)}, DType::u8);
                Tensor scale = Tensor::zeros({9, (columns + 127) / 128}, DType::f32);
                ops::pack_e5m6(context, x, packed, scale);
                Tensor y = Tensor::zeros(x.shape(), DType::f32);
                Tensor brain = Tensor::zeros(x.shape(), DType::bf16);
                ops::unpack_e5m6(context, packed, scale, y);
                ops::unpack_e5m6(context, packed, scale, brain);
                int wrong = 0;
                for (int64_t i = 0; i < x.count(); ++i) {
                    const int64_t row = i / columns, column = i % columns;
                    const float factor = scale.row<float>(row)[size_t(column / 128)];
                    const double value = test::value_at(x, i);
                    const E5M6 code = to_e5m6(float(value / double(factor)));
                    wrong += e5m6_at(packed.row<uint8_t>(row).data(), column) != code;
                    wrong += test::value_at(y, i) != double(to_float(code)) * double(factor);
                    wrong += test::value_at(brain, i) != test::value_at(y, i);
                    wrong += std::abs(test::value_at(y, i) - value) >
                             std::max(std::abs(value) / 128, double(factor) * 0x1p-21);
                }
                CHECK(wrong == 0);
            });
        }
    }
}

TEST_CASE("quantize: the number of threads changes no bit") {
    test::check_thread_independence([](Context& context) {
        std::vector<Tensor> results;
        for (const Tiling& tiling : kTilings) {
            TiledMatrix q = TiledMatrix::uninitialized({400, 700}, tiling);
            ops::quantize_tiles(context, test::random_tensor({400, 700}, DType::bf16, 2), q);
            results.push_back(q.codes);
            results.push_back(q.scale);
        }
        return results;
    });
}

TEST_CASE("quantize: shapes that do not fit are named") {
    test::OwnContext context;
    const Tensor x = Tensor::zeros({4, 200}, DType::f32);
    TiledMatrix q = TiledMatrix::uninitialized({4, 201}, kRowTiles);
    CHECK_THROWS_AS(ops::quantize_tiles(context, x, q), Error);
    q = TiledMatrix::uninitialized({4, 200}, kRowTiles);
    q.tiling = kMicroscaling;
    CHECK_THROWS_AS(ops::quantize_tiles(context, x, q), Error);
    CHECK_THROWS_AS(TiledMatrix::uninitialized({400, 200}, kBlockTiles).rows(64, 128), Error);
}

}  // namespace hadal
