#include "ops/fp8_accumulation.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ops/fp8_support.h"

namespace hadal {

namespace {

Tensor codes_of(std::initializer_list<float> values) {
    Tensor codes = Tensor::zeros({1, int64_t(values.size())}, DType::f8_e4m3);
    size_t i = 0;
    for (const float value : values) codes.values<f8_e4m3>()[i++] = to_f8_e4m3(value);
    return codes;
}

double accumulated(const Tensor& a, const Tensor& b, const ops::Accumulation& how) {
    test::OwnContext context;
    Tensor c = Tensor::zeros({1, 1}, DType::f64);
    ops::matmul_nt_accumulated(context, a, b, how, c);
    return c.values<double>()[0];
}

Tensor random_codes(int64_t rows, int64_t k, uint64_t seed) {
    const Tensor values = test::random_tensor({rows, k}, DType::f32, seed);
    auto q = formats::TiledMatrix::uninitialized(values.shape(), formats::kWholeTensor);
    formats::quantize_tiles(values, q);
    return q.codes;
}

struct Errors {
    double largest = 0;        // of all elements, relative to the results' root mean square
    double largest_share = 0;  // of what the dropped bits can add up to
};

/// An addition of 32 products drops less than 32 units of 2^(1 − bits) of their largest power of
/// two, and cutting the register less than one unit of its own, which is at most Σ|a·b|.
Errors measure(int64_t k, int64_t promotion) {
    constexpr int64_t kRows = 32;
    test::OwnContext context(best_isa(), 2);
    const Tensor a = random_codes(kRows, k, 1), b = random_codes(kRows, k, 2);
    Tensor exact = Tensor::zeros({kRows, kRows}, DType::f64), c = exact.clone();
    ops::matmul_nt_exact(context, a, b, exact);
    ops::matmul_nt_accumulated(context, a, b, {.promotion = promotion}, c);
    const double unit = std::ldexp(1.0, 1 - 14);
    double squares = 0;
    Errors errors;
    for (int64_t i = 0; i < c.count(); ++i) {
        double bound = 0, registered = 0;
        for (int64_t l = 0; l < k; l += 32) {
            double largest = 0;
            for (int64_t j = l; j < std::min(k, l + 32); ++j) {
                const double product =
                    std::abs(double(to_float(a.row<f8_e4m3>(i / kRows)[size_t(j)])) *
                             double(to_float(b.row<f8_e4m3>(i % kRows)[size_t(j)])));
                largest = std::max(largest, product);
                registered += product;
            }
            bound += unit * (32 * largest + registered);
            if (promotion != 0 && (l + 32) % promotion == 0) registered = 0;
        }
        const double error = std::abs(test::value_at(c, i) - test::value_at(exact, i));
        squares += test::value_at(exact, i) * test::value_at(exact, i);
        errors.largest = std::max(errors.largest, error);
        errors.largest_share = std::max(errors.largest_share, error / (bound + 1e-7 * bound));
    }
    errors.largest /= std::sqrt(squares / double(c.count()));
    return errors;
}

}  // namespace

TEST_CASE("accumulation: products below the kept bits of the largest are lost, downwards") {
    // The largest product 2^16 keeps units of 2^3 with 14 bits: 7.5 becomes 0, −7.5 becomes −8.
    const Tensor a = codes_of({256, 3.75f, 256}), b = codes_of({256, 2, 0});
    CHECK(accumulated(a, b, {}) == 65536);
    const Tensor negative = codes_of({256, -2, 0});
    CHECK(accumulated(a, negative, {}) == 65536 - 8);
    CHECK(accumulated(a, b, {.bits = 20}) == 65536 + 7.5);
    CHECK(accumulated(a, b, {.products = 1}) == 65536);  // the register cuts just as much
}

TEST_CASE("accumulation: promotion empties the register, so that later products are kept") {
    Tensor a = Tensor::zeros({1, 64}, DType::f8_e4m3), b = a.clone();
    a.values<f8_e4m3>()[0] = b.values<f8_e4m3>()[0] = to_f8_e4m3(256);
    a.values<f8_e4m3>()[40] = b.values<f8_e4m3>()[40] = to_f8_e4m3(1);
    CHECK(accumulated(a, b, {}) == 65536);
    CHECK(accumulated(a, b, {.promotion = 32}) == 65537);
}

TEST_CASE("accumulation: no error exceeds what the dropped bits can add up to") {
    for (const int64_t k : {32, 100, 1024}) {
        for (const int64_t promotion : {0, 128}) {
            CAPTURE(k);
            CAPTURE(promotion);
            const Errors errors = measure(k, promotion);
            CHECK(errors.largest_share <= 1);
            CHECK(errors.largest > 0);
        }
    }
}

TEST_CASE("accumulation: K = 4096 loses about a percent without promotion, little with it") {
    const Errors without = measure(4096, 0), with = measure(4096, 128);
    CHECK(without.largest > 0.005);  // the report: nearly 2 % at most
    CHECK(without.largest < 0.03);
    CHECK(with.largest < without.largest / 5);
}

TEST_CASE("accumulation: a promotion between two additions is refused") {
    test::OwnContext context;
    const Tensor a = codes_of({1}), b = codes_of({1});
    Tensor c = Tensor::zeros({1, 1}, DType::f64);
    CHECK_THROWS_AS(ops::matmul_nt_accumulated(context, a, b, {.promotion = 48}, c), Error);
}

}  // namespace hadal
