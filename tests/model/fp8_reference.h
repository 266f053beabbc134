// What FP8 linear layers mean, restated in double precision: quantise, take the codes for numbers,
// multiply exactly. The plain loops of formats/scale_tile.h, which have tests of their own,
// quantise.
#pragma once

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "formats/scale_tile.h"
#include "model/linear.h"
#include "ops/support.h"

namespace hadal::test {

/// A matrix of doubles.
struct Exact {
    int64_t rows = 0, columns = 0;
    std::vector<double> values;

    double& at(int64_t i, int64_t j) {
        return values[size_t(i * columns + j)];
    }
    double at(int64_t i, int64_t j) const {
        return values[size_t(i * columns + j)];
    }
};

inline Exact exact_of(const Tensor& x) {
    const auto [rows, columns] = x.shape<2>();
    Exact result{rows, columns, std::vector<double>(size_t(rows * columns))};
    for (int64_t i = 0; i < rows * columns; ++i) result.values[size_t(i)] = value_at(x, i);
    return result;
}

/// The numbers that x in `format` stands for. Code times scale is a float32 in the recipe's words
/// where tiles are quantised anew, which this is the input of.
inline Exact quantized(const Exact& x, const model::Fp8Format& format) {
    Tensor wide = Tensor::zeros({x.rows, x.columns}, DType::f32);
    for (int64_t i = 0; i < x.rows * x.columns; ++i) {
        wide.values<float>()[size_t(i)] = float(x.values[size_t(i)]);
    }
    auto tiles =
        formats::TiledMatrix::uninitialized({x.rows, x.columns}, format.tiling, format.codes);
    formats::quantize_tiles(wide, tiles);
    formats::dequantize_tiles(tiles, wide);
    return exact_of(wide);
}
inline Exact quantized(const Tensor& x, const model::Fp8Format& format) {
    return quantized(exact_of(x), format);
}

/// As the weight gradient reads an operand: tiles along the channels, then along the tokens.
inline Exact along_tokens(const Tensor& x, const model::Fp8Format& format) {
    const Exact once = quantized(x, format);
    if (format.tiling.rows != 1) return once;  // blocks and whole tensors serve both
    const formats::Tiling turned{format.tiling.columns, 1, format.tiling.scale};
    return quantized(once, {turned, format.codes});
}

/// Σ_k a(i, k)·b(k, j), and the same of magnitudes, which bounds the error of a float32 sum.
struct ExactProduct {
    Exact value, magnitude;
};
template <class A, class B>
ExactProduct multiply(int64_t rows, int64_t columns, int64_t inner, const A& a, const B& b) {
    ExactProduct result{{rows, columns, std::vector<double>(size_t(rows * columns))},
                        {rows, columns, std::vector<double>(size_t(rows * columns))}};
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns; ++j) {
            for (int64_t k = 0; k < inner; ++k) {
                result.value.at(i, j) += a(i, k) * b(k, j);
                result.magnitude.at(i, j) += std::fabs(a(i, k) * b(k, j));
            }
        }
    }
    return result;
}
/// x·wᵀ, dy·w, dyᵀ·x
inline ExactProduct product_nt(const Exact& x, const Exact& w) {
    return multiply(
        x.rows, w.rows, x.columns, [&](auto i, auto k) { return x.at(i, k); },
        [&](auto k, auto j) { return w.at(j, k); });
}
inline ExactProduct product_nn(const Exact& dy, const Exact& w) {
    return multiply(
        dy.rows, w.columns, dy.columns, [&](auto i, auto k) { return dy.at(i, k); },
        [&](auto k, auto j) { return w.at(k, j); });
}
inline ExactProduct product_tn(const Exact& dy, const Exact& x) {
    return multiply(
        dy.columns, x.columns, dy.rows, [&](auto i, auto k) { return dy.at(k, i); },
        [&](auto k, auto j) { return x.at(k, j); });
}
inline ExactProduct sum(ExactProduct a, const ExactProduct& b) {
    for (size_t i = 0; i < a.value.values.size(); ++i) {
        a.value.values[i] += b.value.values[i];
        a.magnitude.values[i] += b.magnitude.values[i];
    }
    return a;
}

/// `actual` is `expected` but for roundings: of `inner` float32 additions and the scales' product
/// (each 2⁻²⁴ of the sum of magnitudes at most), `stores` roundings to actual's type, and one of
/// `before`, a part of the sum that was stored on the way.
inline void check_product(const Tensor& actual, const ExactProduct& expected, int64_t inner,
                          int stores = 1, const Exact* before = nullptr) {
    REQUIRE(actual.shape() == Shape{expected.value.rows, expected.value.columns});
    double worst = 0;
    for (int64_t i = 0; i < actual.count(); ++i) {
        const double value = expected.value.values[size_t(i)];
        const double stored = before == nullptr ? 0 : std::fabs(before->values[size_t(i)]);
        const double tolerance =
            double(inner + 8) * 0x1p-24 * expected.magnitude.values[size_t(i)] +
            unit_roundoff(actual.dtype()) * (stores * std::fabs(value) + stored) + 1e-30;
        const double error = std::fabs(value_at(actual, i) - value);
        worst = std::isnan(error) ? INFINITY : std::max(worst, error / tolerance);
    }
    CHECK(worst <= 1);
}

/// The recipes of the study, by name.
inline std::vector<std::pair<std::string, model::Fp8Recipe>> fp8_recipes() {
    using namespace formats;
    model::Fp8Recipe v3, tensor, microscaling, blocks, e5m2;
    tensor = {.activation = {kWholeTensor}, .weight = {kWholeTensor}, .gradient = {kWholeTensor}};
    microscaling = {
        .activation = {kMicroscaling}, .weight = {kMicroscaling}, .gradient = {kMicroscaling}};
    blocks.gradient.tiling = kBlockTiles;
    e5m2.gradient.codes = DType::f8_e5m2;
    return {{"v3", v3},
            {"tensor", tensor},
            {"mxfp8", microscaling},
            {"blocks", blocks},
            {"e5m2", e5m2}};
}

}  // namespace hadal::test
