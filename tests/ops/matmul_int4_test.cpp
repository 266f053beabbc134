#include "ops/matmul_int4.h"

#include <doctest/doctest.h>

#include <array>
#include <cmath>
#include <vector>

#include "ops/matmul.h"
#include "ops/support.h"

namespace hadal {

namespace {

using formats::Int4Matrix;
using ops::ProductInt4;

/// Codes and scales of their own, not those of a quantised matrix: every code is as likely.
Int4Matrix random_int4(int64_t out, int64_t in, uint64_t seed) {
    Int4Matrix w = Int4Matrix::uninitialized({out, in});
    for (int64_t i = 0; i < w.packed.count(); ++i) {
        w.packed.values<int32_t>()[size_t(i)] = int32_t(random_bits(seed, 0, uint64_t(i)));
    }
    for (int64_t i = 0; i < w.scale.count(); ++i) {
        w.scale.values<bf16>()[size_t(i)] = to_bf16(float(random_normal(seed, 1, uint64_t(i))));
    }
    return w;
}

Tensor unpacked(const Int4Matrix& w) {
    Tensor values = Tensor::uninitialized(w.shape(), DType::bf16);
    formats::dequantize_int4(w, values);
    return values;
}

/// The value of a weight by the format's definition, in float64.
double weight_at(const Int4Matrix& w, int64_t i, int64_t j) {
    const auto word = uint32_t(w.packed.row<int32_t>(i)[size_t(j / 8)]);
    const double scale = to_float(w.scale.row<bf16>(i)[size_t(j / 32)]);
    return to_float(to_bf16(float((double(word >> (4 * (j % 8)) & 15) - 8) * scale)));
}

constexpr int64_t kSizes[][3] = {  // tokens, out, in
    {1, 1, 32},    {0, 5, 64},     {1, 37, 96},    {2, 64, 32},   {3, 31, 4128},
    {5, 16, 0},    {7, 65, 160},   {16, 33, 1024}, {17, 70, 352}, {32, 48, 128},
    {33, 48, 128}, {67, 131, 288}, {32, 40, 4224}};

}  // namespace

TEST_CASE("matmul_int4: a product is that of the decoded weight in float64, to rounding") {
    test::for_each_isa([](Context& context) {
        for (const auto& [tokens, out, in] : kSizes) {
            CAPTURE(tokens);
            CAPTURE(out);
            CAPTURE(in);
            const Tensor x = test::with_gaps(test::random_tensor({tokens, in}, DType::bf16, 1));
            const Int4Matrix w = random_int4(out, in, 2);
            Tensor y = test::with_gaps(test::random_tensor({tokens, out}, DType::f32, 3));
            ops::matmul_nt(context, x, w, y);
            std::vector<double> sums(size_t(tokens * out)), sizes(size_t(tokens * out));
            for (int64_t i = 0; i < tokens * out; ++i) {
                for (int64_t k = 0; k < in; ++k) {
                    const double term =
                        test::value_at(x, i / out * in + k) * weight_at(w, i % out, k);
                    sums[size_t(i)] += term;
                    sizes[size_t(i)] += std::abs(term);
                }
            }
            test::check_close(
                y, [&](int64_t i) { return sums[size_t(i)]; },
                [&](int64_t i) { return 0x1p-24 * (2 + double(in)) * sizes[size_t(i)] + 1e-300; });
        }
    });
}

TEST_CASE("matmul_int4: every bit is that of the product with the unpacked weight") {
    for (const int threads : {1, 3}) {
        test::for_each_isa(
            [](Context& context) {
                for (const auto& [tokens, out, in] : kSizes) {
                    for (const DType type : {DType::bf16, DType::f32}) {
                        CAPTURE(tokens);
                        CAPTURE(out);
                        CAPTURE(in);
                        CAPTURE(name(type));
                        const Tensor x =
                            test::with_gaps(test::random_tensor({tokens, in}, DType::bf16, 4), 8);
                        const Int4Matrix w = random_int4(out, in, 5);
                        const Tensor before = test::random_tensor({tokens, out}, type, 6);
                        Tensor y = test::with_gaps(before), twin = before.clone();
                        ops::matmul_nt(context, x, w, y);
                        ops::matmul_nt(context, x, unpacked(w), twin);
                        CHECK(test::same_bits(y, twin));
                        const ProductInt4 sum{x, w, y, /*add=*/true};
                        const ops::Product twin_sum{x, unpacked(w), twin, /*add=*/true};
                        ops::matmul_nt(context, {&sum, 1});
                        ops::matmul_nt(context, {&twin_sum, 1});
                        CHECK(test::same_bits(y, twin));
                    }
                }
            },
            threads);
    }
}

TEST_CASE("matmul_int4: a row's bits depend neither on the other rows nor on its position") {
    test::for_each_isa([](Context& context) {
        const Tensor x = test::random_tensor({67, 1056}, DType::bf16, 7);
        const Int4Matrix w = random_int4(141, 1056, 8);
        Tensor whole = Tensor::uninitialized({67, 141}, DType::bf16);
        ops::matmul_nt(context, x, w, whole);
        for (const auto& [begin, count] : {std::array<int64_t, 2>{0, 1},
                                           {66, 1},
                                           {13, 2},
                                           {5, 7},
                                           {20, 16},
                                           {31, 17},
                                           {2, 32},
                                           {34, 33}}) {
            CAPTURE(begin);
            CAPTURE(count);
            Tensor part = Tensor::uninitialized({count, 141}, DType::bf16);
            ops::matmul_nt(context, x.rows(begin, count), w, part);
            CHECK(test::same_bits(part, whole.rows(begin, count)));
        }
    });
}

TEST_CASE("matmul_int4: a ragged list, views of larger tensors, gives each product's own bits") {
    const Tensor x = test::random_tensor({23, 192}, DType::bf16, 9);
    const Tensor before = test::random_tensor({23, 40}, DType::bf16, 12);
    const Int4Matrix w = random_int4(120, 192, 10);
    test::check_thread_independence([&](Context& context) {
        std::vector<Tensor> results;
        std::vector<ProductInt4> list;
        int64_t row = 0;
        for (const int64_t rows : {int64_t(3), int64_t(0), int64_t(19), int64_t(1)}) {
            results.push_back(before.rows(row, rows).clone());
            list.push_back({x.rows(row, rows), w.rows(10 * int64_t(list.size()), 40),
                            results.back(), list.size() % 3 != 0});
            row += rows;
        }
        ops::matmul_nt(context, list);
        row = 0;
        for (const ProductInt4& product : list) {
            Tensor alone = before.rows(row, product.y.shape()[0]).clone();
            const ProductInt4 one{product.x, product.w, alone, product.add};
            ops::matmul_nt(context, {&one, 1});
            CHECK(test::same_bits(alone, product.y));
            row += alone.shape()[0];
        }
        return results;
    });
}

TEST_CASE("matmul_int4: scales that are not finite reach the results of their row alone") {
    test::for_each_isa([](Context& context) {
        Int4Matrix w = random_int4(3, 64, 11);
        w.scale.row<bf16>(1)[1] = to_bf16(INFINITY);
        w.scale.row<bf16>(2)[0] = to_bf16(NAN);
        Tensor y = Tensor::zeros({1, 3}, DType::f32);
        ops::matmul_nt(context, test::random_tensor({1, 64}, DType::bf16, 12), w, y);
        CHECK(std::isfinite(y.row<float>(0)[0]));
        CHECK_FALSE(std::isfinite(y.row<float>(0)[1]));
        CHECK(std::isnan(y.row<float>(0)[2]));
    });
}

TEST_CASE("matmul_int4: operands that do not fit are refused") {
    test::OwnContext context;
    const Int4Matrix w = random_int4(4, 64, 13);
    Tensor y = Tensor::zeros({2, 4}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, Tensor::zeros({2, 32}, DType::bf16), w, y), Error);
    CHECK_THROWS_AS(ops::matmul_nt(context, Tensor::zeros({2, 64}, DType::f32), w, y), Error);
    Tensor narrow = Tensor::zeros({2, 3}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, Tensor::zeros({2, 64}, DType::bf16), w, narrow), Error);
}

}  // namespace hadal
