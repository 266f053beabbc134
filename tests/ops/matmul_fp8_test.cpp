#include "ops/matmul_fp8.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "ops/fp8_support.h"
#include "ops/matmul_support.h"

namespace hadal {

namespace {

using formats::kBlockTiles;
using formats::kColumnTiles;
using formats::kMicroscaling;
using formats::kMicroscalingColumns;
using formats::kRowTiles;
using formats::kWholeTensor;
using formats::TiledMatrix;
using formats::Tiling;
using ops::ProductFp8;
using test::Form;
using test::OwnContext;

constexpr auto multiply = test::multiply<ProductFp8>;

constexpr Form kForms[] = {Form::nt, Form::nn, Form::tn};

struct Size {
    int64_t m, n, k;
};

struct Tilings {
    Tiling left, right;
};

Tilings tilings_of_v3(Form form) {
    if (form == Form::tn) return {kColumnTiles, kColumnTiles};
    return {kRowTiles, kBlockTiles};
}

Shape left_shape(Form form, Size size) {
    return form == Form::tn ? Shape{size.k, size.m} : Shape{size.m, size.k};
}
Shape right_shape(Form form, Size size) {
    return form == Form::nt ? Shape{size.n, size.k} : Shape{size.k, size.n};
}

Tensor result_of(Form form, Size size, DType type, uint64_t seed) {
    return test::with_gaps(
        test::random_tensor({size.m, size.n}, form == Form::tn ? DType::f32 : type, seed), 5);
}

ProductFp8 random_product(Form form, Size size, DType out, uint64_t seed) {
    const Tilings tilings = tilings_of_v3(form);
    return {test::random_tiles(left_shape(form, size), tilings.left, seed, DType::f8_e4m3, 3),
            test::random_tiles(right_shape(form, size), tilings.right, seed + 1, DType::f8_e4m3, 7),
            result_of(form, size, out, seed + 2)};
}

/// Row-major, as float64 has them.
std::vector<double> exact_values(const TiledMatrix& x) {
    const auto [rows, columns] = x.codes.shape<2>();
    std::vector<double> values;
    for (int64_t i = 0; i < rows * columns; ++i) {
        values.push_back(test::value_at(x, i / columns, i % columns));
    }
    return values;
}
std::vector<double> exact_values(const Tensor& x) {
    std::vector<double> values;
    for (int64_t i = 0; i < x.count(); ++i) values.push_back(test::value_at(x, i));
    return values;
}

/// The largest distance to a float64 sum, in units of what rounding may cost: each of the k
/// products, its block's scale (two roundings) and the blocks' sum in float32, then the result's
/// type.
template <class Left>
double worst_error(Form form, const Left& left, const TiledMatrix& right, const Tensor& result,
                   const Tensor* before) {
    const auto [m, n] = result.shape<2>();
    const bool tn = form == Form::tn, nt = form == Form::nt;
    const int64_t k = right.codes.shape()[nt ? 1 : 0];
    const double half_unit = test::unit_roundoff(result.dtype());
    const std::vector<double> a = exact_values(left), b = exact_values(right);
    double worst = 0;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            double sum = before != nullptr ? test::value_at(*before, i * n + j) : 0;
            double size = std::abs(sum);
            for (int64_t l = 0; l < k; ++l) {
                const double term =
                    a[size_t(tn ? l * m + i : i * k + l)] * b[size_t(nt ? j * k + l : l * n + j)];
                sum += term;
                size += std::abs(term);
            }
            const double allowed =
                half_unit * std::abs(sum) + 0x1p-24 * (5 + double(k)) * size + 1e-300;
            const double error = std::abs(test::value_at(result, i * n + j) - sum) / allowed;
            worst = std::isnan(error) ? 1e300 : std::max(worst, error);
        }
    }
    return worst;
}

double worst_error(Form form, const ProductFp8& product, const Tensor* before = nullptr) {
    return worst_error(form, product.left, product.right, product.result, before);
}

std::string text(Form form, Size size) {
    return concat(form == Form::nt   ? "nt "
                  : form == Form::nn ? "nn "
                                     : "tn ",
                  size.m, "×", size.n, "×", size.k);
}

/// Codes that are integers up to 8: the sum of a block is exact.
TiledMatrix integers(const Shape& shape, const Tiling& tiling, uint64_t seed) {
    TiledMatrix x = TiledMatrix::uninitialized(shape, tiling);
    for (int64_t i = 0; i < x.codes.count(); ++i) {
        const auto value = float(random_bits(seed, 0, uint64_t(i)) % 17) - 8;
        x.codes.values<f8_e4m3>()[size_t(i)] = to_f8_e4m3(value);
    }
    for (int64_t i = 0; i < x.scale.count(); ++i) {
        x.scale.values<float>()[size_t(i)] = float(random_normal(seed, 1, uint64_t(i)));
    }
    return x;
}

/// The scale and the code of element (free, k).
std::pair<float, double> element(const TiledMatrix& x, bool k_contiguous, int64_t free, int64_t k) {
    const int64_t i = k_contiguous ? free : k, j = k_contiguous ? k : free;
    return {x.scale.row<float>(i / x.tiling.rows)[size_t(j / x.tiling.columns)],
            double(to_float(x.codes.row<f8_e4m3>(i)[size_t(j)]))};
}

/// One result of integers, blocks of 128 in the order of k.
float promoted(Form form, const ProductFp8& product, int64_t m, int64_t n, bool fused) {
    const int64_t k = product.right.codes.shape()[form == Form::nt ? 1 : 0];
    float total = 0;
    for (int64_t block = 0; block < k; block += 128) {
        double sum = 0;
        float scale = 0;
        for (int64_t l = block; l < std::min(k, block + 128); ++l) {
            const auto [a_scale, a] = element(product.left, form != Form::tn, m, l);
            const auto [b_scale, b] = element(product.right, form == Form::nt, n, l);
            sum += a * b;
            scale = a_scale * b_scale;
        }
        total = fused ? std::fma(float(sum), scale, total) : total + float(sum) * scale;
    }
    return total;
}

// Edges of tiles, of blocks of k and of vectors; few rows; nothing at all.
constexpr Size kSizes[] = {{1, 1, 1},      {1, 300, 257},   {2, 31, 128},  {7, 129, 130},
                           {16, 130, 383}, {17, 64, 33},    {33, 47, 256}, {61, 257, 129},
                           {40, 90, 1100}, {130, 131, 300}, {0, 5, 64},    {3, 40, 0}};

}  // namespace

TEST_CASE("matmul_fp8: every form is the sum of codes times scales") {
    test::for_each_isa([](Context& context) {
        for (const Form form : kForms) {
            for (const Size size : kSizes) {
                for (const DType out : {DType::bf16, DType::f32}) {
                    CAPTURE(text(form, size));
                    ProductFp8 product = random_product(form, size, out, 11);
                    const Tensor before = product.result.clone();
                    multiply(context, form, false, {&product, 1});
                    CHECK(worst_error(form, product, form == Form::tn ? &before : nullptr) <= 1);
                    product.result.copy_from(before);
                    multiply(context, form, true, {&product, 1});
                    CHECK(worst_error(form, product, &before) <= 1);
                }
            }
        }
    });
}

TEST_CASE("matmul_fp8: a block is scaled after its sum and added in the order of k") {
    constexpr Size kSize = {5, 140, 500};
    for (const Form form : kForms) {
        const Tilings tilings = tilings_of_v3(form);
        ProductFp8 product{integers(left_shape(form, kSize), tilings.left, 1),
                           integers(right_shape(form, kSize), tilings.right, 2), Tensor()};
        test::for_each_isa([&](Context& context) {
            product.result = Tensor::zeros({kSize.m, kSize.n}, DType::f32);
            multiply(context, form, false, {&product, 1});
            const bool fused = context.isa != Isa::portable;
            int wrong = 0;
            for (int64_t i = 0; i < product.result.count(); ++i) {
                const float expected = promoted(form, product, i / kSize.n, i % kSize.n, fused);
                wrong += product.result.values<float>()[size_t(i)] != expected;
            }
            CHECK(wrong == 0);
        });
    }
}

TEST_CASE("matmul_fp8: a row has the same bits alone, in a larger product, and in a list") {
    test::for_each_isa([](Context& context) {
        for (const Form form : {Form::nt, Form::nn}) {
            constexpr Size kSize = {70, 190, 300};
            for (const DType out : {DType::bf16, DType::f32}) {
                ProductFp8 whole = random_product(form, kSize, out, 5);
                multiply(context, form, false, {&whole, 1});
                std::vector<ProductFp8> list;
                for (const auto& [begin, count] :
                     {std::pair<int64_t, int64_t>{0, 1}, {1, 0}, {1, 2}, {3, 17}, {20, 50}}) {
                    list.push_back({whole.left.rows(begin, count), whole.right,
                                    Tensor::zeros({count, kSize.n}, out)});
                }
                multiply(context, form, false, list);
                int64_t row = 0;
                for (const ProductFp8& part : list) {
                    const int64_t count = part.result.shape()[0];
                    CAPTURE(text(form, {count, kSize.n, kSize.k}));
                    CHECK(test::same_bits(part.result, whole.result.rows(row, count)));
                    row += count;
                }
            }
        }
    });
}

TEST_CASE("matmul_fp8: a product of a list adds if it says so") {
    test::for_each_isa([](Context& context) {
        for (const Form form : {Form::nt, Form::nn}) {
            std::vector<ProductFp8> list;
            std::vector<Tensor> before;
            for (const int64_t rows : {1, 3, 40}) {
                list.push_back(random_product(form, {rows, 70, 130}, DType::bf16, uint64_t(rows)));
                list.back().add = rows != 3;
                before.push_back(list.back().result.clone());
            }
            multiply(context, form, false, list);
            for (size_t i = 0; i < list.size(); ++i) {
                CAPTURE(i);
                CHECK(worst_error(form, list[i], list[i].add ? &before[i] : nullptr) <= 1);
            }
        }
        const TiledMatrix w = test::random_tiles({70, 130}, kBlockTiles, 8);
        const Tensor x = test::random_tensor({4, 130}, DType::bf16, 9);
        const Tensor before = test::random_tensor({4, 70}, DType::bf16, 10);
        const Tensor y = before.clone();
        const ops::ProductW8A16 product{x, w, y, /*add=*/true};
        ops::matmul_nt(context, {&product, 1});
        CHECK(worst_error(Form::nt, x, w, y, &before) <= 1);
    });
}

TEST_CASE("matmul_fp8: the number of threads changes no bit") {
    for (const Form form : kForms) {
        test::check_thread_independence([&](Context& context) {
            std::vector<ProductFp8> list;
            uint64_t seed = 20;
            for (const Size size :
                 {Size{90, 200, 260}, Size{0, 200, 260}, Size{1, 200, 260}, Size{300, 200, 260}}) {
                list.push_back(random_product(form, size, DType::bf16, seed += 3));
            }
            multiply(context, form, false, list);
            std::vector<Tensor> results;
            for (const ProductFp8& product : list) results.push_back(product.result);
            return results;
        });
    }
}

TEST_CASE("matmul_fp8: other tilings and E5M2, as recipes for study ask for them") {
    struct Case {
        Form form;
        Tilings tilings;
        DType left;
    };
    const Case cases[] = {{Form::nt, {kWholeTensor, kWholeTensor}, DType::f8_e4m3},
                          {Form::nn, {kWholeTensor, kWholeTensor}, DType::f8_e5m2},
                          {Form::tn, {kWholeTensor, kWholeTensor}, DType::f8_e5m2},
                          {Form::nt, {kMicroscaling, kMicroscaling}, DType::f8_e4m3},
                          {Form::nn, {kMicroscaling, kMicroscalingColumns}, DType::f8_e5m2},
                          {Form::tn, {kMicroscalingColumns, kMicroscalingColumns}, DType::f8_e4m3},
                          {Form::nn, {kBlockTiles, kBlockTiles}, DType::f8_e4m3},
                          {Form::tn, {kBlockTiles, kColumnTiles}, DType::f8_e4m3},
                          {Form::nt, {kMicroscaling, kBlockTiles}, DType::f8_e4m3}};
    test::for_each_isa([&](Context& context) {
        for (const Case& c : cases) {
            constexpr Size kSize = {37, 150, 290};
            CAPTURE(test::text(c.tilings.left));
            CAPTURE(text(c.form, kSize));
            ProductFp8 product{
                test::random_tiles(left_shape(c.form, kSize), c.tilings.left, 3, c.left),
                test::random_tiles(right_shape(c.form, kSize), c.tilings.right, 4),
                result_of(c.form, kSize, DType::f32, 5)};
            const Tensor before = product.result.clone();
            multiply(context, c.form, false, {&product, 1});
            CHECK(worst_error(c.form, product, c.form == Form::tn ? &before : nullptr) <= 1);
        }
    });
}

TEST_CASE("matmul_fp8: bf16 activations meet a weight in FP8") {
    test::for_each_isa([](Context& context) {
        const TiledMatrix w = test::random_tiles({270, 390}, kBlockTiles, 8, DType::f8_e4m3, 2);
        const Tensor x = test::with_gaps(test::random_tensor({70, 390}, DType::bf16, 9));
        Tensor y = Tensor::zeros({70, 270}, DType::bf16);
        ops::matmul_nt(context, x, w, y);
        CHECK(worst_error(Form::nt, x, w, y, nullptr) <= 1);
        for (const int64_t rows : {1, 2, 16, 17, 33}) {
            CAPTURE(rows);
            Tensor few = Tensor::zeros({rows, 270}, DType::bf16);
            ops::matmul_nt(context, x.rows(3, rows), w, few);
            CHECK(test::same_bits(few, y.rows(3, rows)));
        }
        Tensor sum = test::random_tensor({70, 270}, DType::f32, 10);
        const Tensor before = sum.clone();
        const ops::ProductW8A16 product{x, w, sum, /*add=*/true};
        ops::matmul_nt(context, {&product, 1});
        CHECK(worst_error(Form::nt, x, w, sum, &before) <= 1);
    });
}

TEST_CASE("matmul_fp8: every finite code is multiplied as its value") {
    for (const DType codes : {DType::f8_e4m3, DType::f8_e5m2}) {
        TiledMatrix w = TiledMatrix::uninitialized({256, 256}, kBlockTiles, codes);
        w.codes.fill_zero();
        for (float& scale : w.scale.values<float>()) scale = 1;
        const Tensor one = test::filled({256, 256}, DType::bf16,
                                        [](int64_t i) { return i / 256 == i % 256 ? 1.0 : 0.0; });
        for (int64_t i = 0; i < 256; ++i) {  // on the diagonal
            const bool finite = codes == DType::f8_e4m3 ? (i & 0x7F) != 0x7F : (i & 0x7C) != 0x7C;
            if (finite) reinterpret_cast<uint8_t*>(w.codes.data())[i * 256 + i] = uint8_t(i);
        }
        test::for_each_isa([&](Context& context) {
            Tensor y = Tensor::zeros({256, 256}, DType::f32);
            ops::matmul_nt(context, one, w, y);
            int wrong = 0;
            for (int64_t i = 0; i < y.count(); ++i) {
                wrong += test::value_at(y, i) != test::value_at(w, i % 256, i / 256);
            }
            CHECK(wrong == 0);
        });
    }
}

TEST_CASE("matmul_fp8: a NaN code reaches every result that reads it and no other") {
    test::for_each_isa([](Context& context) {
        TiledMatrix x = test::random_tiles({40, 200}, kRowTiles, 1);
        const TiledMatrix w = test::random_tiles({50, 200}, kBlockTiles, 2);
        x.codes.row<f8_e4m3>(17)[150] = {0xFF};
        Tensor y = Tensor::zeros({40, 50}, DType::bf16);
        ops::matmul_nt(context, x, w, y);
        int wrong = 0;
        for (int64_t i = 0; i < y.count(); ++i) {
            wrong += std::isnan(test::value_at(y, i)) != (i / 50 == 17);
        }
        CHECK(wrong == 0);
    });
}

TEST_CASE("matmul_fp8: operands that do not fit are named") {
    OwnContext context;
    const TiledMatrix x = test::random_tiles({4, 200}, kRowTiles, 1);
    TiledMatrix w = test::random_tiles({50, 200}, kBlockTiles, 2);
    Tensor y = Tensor::zeros({4, 50}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nn(context, x, w, y), Error);
    Tensor narrow = Tensor::zeros({4, 49}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, x, w, narrow), Error);
    w.tiling = kRowTiles;  // the scales are still those of blocks
    CHECK_THROWS_AS(ops::matmul_nt(context, x, w, y), Error);
    const TiledMatrix odd = test::random_tiles({50, 200}, Tiling{1, 48}, 2);
    CHECK_THROWS_AS(ops::matmul_nt(context, x, odd, y), Error);
}

}  // namespace hadal
