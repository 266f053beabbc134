#include "ops/matmul_int8.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <vector>

#include "ops/support.h"

namespace hadal {

namespace {

using formats::Int4Matrix;
using formats::Int8Matrix;
using ops::Int8Rows;
using ops::IntegerMatrix;
using ops::ProductInt8;

/// Codes and scales of their own, not those of a quantised matrix: every code is as likely.
template <class Matrix>
IntegerMatrix random_weight(int64_t out, int64_t in, uint64_t seed) {
    Matrix w = Matrix::uninitialized({out, in});
    for (int64_t i = 0; i < w.packed.count(); ++i) {
        w.packed.template values<int32_t>()[size_t(i)] = int32_t(random_bits(seed, 0, uint64_t(i)));
    }
    for (int64_t i = 0; i < w.scale.count(); ++i) {
        w.scale.template values<bf16>()[size_t(i)] =
            to_bf16(float(random_normal(seed, 1, uint64_t(i))));
    }
    return w;
}
IntegerMatrix random_weight(int64_t bits, int64_t out, int64_t in, uint64_t seed) {
    return bits == 4 ? random_weight<Int4Matrix>(out, in, seed)
                     : random_weight<Int8Matrix>(out, in, seed);
}
IntegerMatrix some_rows(const IntegerMatrix& w, int64_t begin, int64_t count) {
    IntegerMatrix part = w;
    part.packed = w.packed.rows(begin, count);
    part.scale = w.scale.rows(begin, count);
    return part;
}

Int8Rows quantized(Context& context, const Tensor& x) {
    Int8Rows q = Int8Rows::uninitialized(x.shape()[0], x.shape()[1]);
    ops::quantize_rows_int8(context, x, q);
    return q;
}
Int8Rows random_rows(int64_t rows, int64_t in, uint64_t seed) {
    test::OwnContext context(Isa::portable);
    return quantized(context, test::random_tensor({rows, in}, DType::bf16, seed));
}

/// (code − bias), by the layouts of formats/int4_group.h and int8_group.h.
int integer_at(const IntegerMatrix& w, int64_t i, int64_t j) {
    const int64_t per_word = 32 / w.bits;
    const auto word = uint32_t(w.packed.row<int32_t>(i)[size_t(j / per_word)]);
    const auto code = int(word >> (w.bits * (j % per_word)) & ((1u << w.bits) - 1));
    return code - (1 << (w.bits - 1));
}

/// One result as ops/matmul_int8.h defines it, operation by operation.
float defined_result(const Int8Rows& x, const IntegerMatrix& w, int64_t t, int64_t i) {
    const int64_t in = x.codes.shape()[1];
    const auto a = x.codes.row<int8_t>(t);
    float y = 0;
    for (int64_t tile = 0; tile * 128 < in; ++tile) {
        float p[4] = {0, 0, 0, 0};
        for (int64_t g = 0; g < 4 && tile * 128 + g * 32 < in; ++g) {
            int64_t dot = 0;
            for (int64_t j = tile * 128 + g * 32; j < tile * 128 + g * 32 + 32; ++j) {
                dot += integer_at(w, i, j) * a[size_t(j)];
            }
            p[g] = float(dot) * to_float(w.scale.row<bf16>(i)[size_t(tile * 4 + g)]);
        }
        const float first = p[0] + p[1], second = p[2] + p[3];
        y = std::fma(first + second, x.scale.row<float>(t)[size_t(tile)], y);
    }
    return y;
}

Tensor defined_product(const Int8Rows& x, const IntegerMatrix& w, const Tensor* before,
                       DType type) {
    const int64_t out = w.packed.shape()[0];
    return test::filled({x.codes.shape()[0], out}, type, [&](int64_t at) {
        const float y = defined_result(x, w, at / out, at % out);
        return before ? y + float(test::value_at(*before, at)) : y;
    });
}

constexpr int64_t kSizes[][3] = {  // tokens, out, in
    {1, 1, 32},    {0, 5, 64},     {1, 37, 96},    {2, 64, 32},    {3, 31, 4128},  {5, 16, 0},
    {1, 300, 384}, {4, 48, 128},   {7, 65, 160},   {9, 33, 224},   {16, 33, 1024}, {17, 70, 352},
    {33, 48, 128}, {67, 131, 288}, {32, 40, 4224}, {130, 9, 1184}, {300, 17, 64}};

}  // namespace

TEST_CASE("matmul_int8: every bit is the definition's, on every instruction set") {
    for (const int threads : {1, 3}) {
        test::for_each_isa(
            [](Context& context) {
                for (const auto& [tokens, out, in] : kSizes) {
                    for (const int64_t bits : {4, 8}) {
                        CAPTURE(tokens);
                        CAPTURE(out);
                        CAPTURE(in);
                        CAPTURE(bits);
                        const Int8Rows x = random_rows(tokens, in, 1);
                        const IntegerMatrix w = random_weight(bits, out, in, 2);
                        const DType type = out % 2 == 0 ? DType::bf16 : DType::f32;
                        const Tensor first = defined_product(x, w, nullptr, type);
                        const Tensor second = defined_product(x, w, &first, type);
                        Tensor y = test::with_gaps(test::random_tensor(first.shape(), type, 3));
                        ops::matmul_nt(context, x, w, y);
                        CHECK(test::same_bits(y, first));
                        const ops::ProductInt8 sum{x, w, y, /*add=*/true};
                        ops::matmul_nt(context, {&sum, 1});
                        CHECK(test::same_bits(y, second));
                    }
                }
            },
            threads);
    }
}

TEST_CASE("matmul_int8: the extreme codes give the extreme sums") {
    test::for_each_isa([](Context& context) {
        for (const int64_t bits : {4, 8}) {
            for (const float sign : {1.0F, -1.0F}) {
                for (const int32_t codes : {0, -1}) {
                    const int64_t in = 256;
                    Int8Rows x = Int8Rows::uninitialized(20, in);
                    const Tensor ones =
                        test::filled({20, in}, DType::bf16, [&](int64_t) { return sign; });
                    ops::quantize_rows_int8(context, ones, x);
                    const IntegerMatrix w = random_weight(bits, 17, in, 4);
                    Tensor packed = w.packed, scale = w.scale;
                    for (int32_t& word : packed.values<int32_t>()) word = codes;
                    for (bf16& value : scale.values<bf16>()) value = to_bf16(1);
                    Tensor y = Tensor::zeros({20, 17}, DType::f32);
                    ops::matmul_nt(context, x, w, y);
                    const double weight =
                        codes == 0 ? -std::exp2(double(bits - 1)) : std::exp2(double(bits - 1)) - 1;
                    // 1 / 127 is rounded, 127 of it are 1 but for that.
                    test::check_close(
                        y, [&](int64_t) { return sign * weight * double(in); },
                        [&](int64_t) { return 1e-6 * std::abs(weight) * double(in); });
                    CHECK(test::same_bits(y, defined_product(x, w, nullptr, DType::f32)));
                }
            }
        }
    });
}

TEST_CASE("matmul_int8: a row's bits depend neither on the other rows nor on its position") {
    test::for_each_isa([](Context& context) {
        for (const int64_t bits : {4, 8}) {
            const Int8Rows x = random_rows(67, 1056, 7);
            const IntegerMatrix w = random_weight(bits, 141, 1056, 8);
            Tensor whole = Tensor::uninitialized({67, 141}, DType::bf16);
            ops::matmul_nt(context, x, w, whole);
            for (int64_t count = 1; count <= 40; ++count) {
                CAPTURE(count);
                const int64_t begin = 11 * count % (68 - count);
                Tensor part = Tensor::uninitialized({count, 141}, DType::bf16);
                ops::matmul_nt(context, x.rows(begin, count), w, part);
                CHECK(test::same_bits(part, whole.rows(begin, count)));
            }
        }
    });
}

TEST_CASE("matmul_int8: a ragged list of both widths gives each product's own bits") {
    const Int8Rows x = random_rows(43, 192, 9);
    const Tensor before = test::random_tensor({43, 40}, DType::bf16, 12);
    const IntegerMatrix weights[] = {random_weight(4, 160, 192, 10),
                                     random_weight(8, 160, 192, 11)};
    test::check_thread_independence([&](Context& context) {
        std::vector<Tensor> results;
        std::vector<ProductInt8> list;
        int64_t row = 0;
        for (const int64_t rows : {3, 0, 19, 1, 20}) {
            const IntegerMatrix& w = weights[list.size() % 2];
            results.push_back(before.rows(row, rows).clone());
            list.push_back({x.rows(row, rows), some_rows(w, 10 * int64_t(list.size()), 40),
                            results.back(), list.size() % 3 != 0});
            row += rows;
        }
        ops::matmul_nt(context, list);
        row = 0;
        for (const ProductInt8& product : list) {
            const Tensor held = before.rows(row, product.y.shape()[0]);
            CHECK(test::same_bits(
                product.y,
                defined_product(product.x, product.w, product.add ? &held : nullptr, DType::bf16)));
            row += held.shape()[0];
        }
        return results;
    });
}

TEST_CASE("matmul_int8: what is not finite reaches the results of its row or column alone") {
    test::for_each_isa([](Context& context) {
        for (const int64_t bits : {4, 8}) {
            const IntegerMatrix w = random_weight(bits, 3, 160, 12);
            Tensor scale = w.scale;
            scale.row<bf16>(1)[1] = to_bf16(INFINITY);
            Tensor x = test::random_tensor({3, 160}, DType::bf16, 13);
            x.row<bf16>(0)[40] = to_bf16(NAN);
            x.row<bf16>(2)[150] = to_bf16(-INFINITY);
            Tensor y = Tensor::zeros({3, 3}, DType::f32);
            ops::matmul_nt(context, quantized(context, x), w, y);
            for (int64_t i = 0; i < 3; ++i) {
                CHECK(std::isnan(y.row<float>(0)[size_t(i)]));
                CHECK(std::isnan(y.row<float>(2)[size_t(i)]));
                CHECK(std::isfinite(y.row<float>(1)[size_t(i)]) == (i != 1));
            }
        }
    });
}

TEST_CASE("quantize_rows_int8: codes and scales are the rule's, and every value is near") {
    test::for_each_isa([](Context& context) {
        for (const int64_t in : {1, 31, 128, 160, 1000}) {
            CAPTURE(in);
            Tensor x = test::with_gaps(test::random_tensor({5, in}, DType::bf16, 14, 3));
            const Int8Rows q = quantized(context, x);
            for (int64_t t = 0; t < 5; ++t) {
                for (int64_t b = 0; b * 128 < in; ++b) {
                    const auto tile = x.row<bf16>(t).subspan(
                        size_t(b * 128), size_t(std::min<int64_t>(128, in - b * 128)));
                    float amax = 0;
                    for (const bf16 v : tile) amax = std::max(amax, std::abs(to_float(v)));
                    const float scale = q.scale.row<float>(t)[size_t(b)];
                    CHECK(scale == amax / 127);
                    for (size_t j = 0; j < tile.size(); ++j) {
                        const int code = q.codes.row<int8_t>(t)[size_t(b * 128) + j];
                        CHECK(code == int(std::nearbyint(to_float(tile[j]) * (127 / amax))));
                        CHECK(std::abs(double(code) * scale - to_float(tile[j])) <= 0.5001 * scale);
                    }
                }
            }
        }
    });
}

TEST_CASE("quantize_rows_int8: a ragged list gives each item's own codes and scales") {
    test::for_each_isa([](Context& context) {
        std::vector<ops::Int8Quantization> list;
        const Shape shapes[] = {{0, 64}, {3, 160}, {0, 160}, {50, 33}, {1, 4000}, {0, 7}};
        for (const Shape& shape : shapes) {
            list.push_back({test::random_tensor(shape, DType::bf16, list.size()),
                            Int8Rows::uninitialized(shape[0], shape[1])});
        }
        ops::quantize_rows_int8(context, list);
        for (const auto& [x, q] : list) {
            const Int8Rows alone = quantized(context, x);
            CHECK(test::same_bits(q.codes, alone.codes));
            CHECK(test::same_bits(q.scale, alone.scale));
        }
        ops::quantize_rows_int8(context, std::span<const ops::Int8Quantization>());
    });
}

TEST_CASE("quantize_rows_int8: zeros and tiny values are zero, infinities and NaN are NaN") {
    test::for_each_isa([](Context& context) {
        Tensor x = test::random_tensor({1, 640}, DType::bf16, 15);
        for (size_t j = 0; j < 128; ++j) x.row<bf16>(0)[j] = to_bf16(-0.0F);
        for (size_t j = 128; j < 256; ++j) x.row<bf16>(0)[j] = bf16{uint16_t(j)};  // subnormal
        x.row<bf16>(0)[256] = to_bf16(INFINITY);
        x.row<bf16>(0)[384 + 127] = to_bf16(-NAN);
        const Int8Rows q = quantized(context, x);
        const auto codes = q.codes.row<int8_t>(0);
        const auto scale = q.scale.row<float>(0);
        CHECK(std::all_of(codes.begin(), codes.begin() + 512, [](int8_t c) { return c == 0; }));
        CHECK(scale[0] == 0);
        CHECK(scale[1] == 0);
        CHECK(std::isnan(scale[2]));
        CHECK(std::isnan(scale[3]));
        CHECK(std::isfinite(scale[4]));
        CHECK(std::any_of(codes.begin() + 512, codes.end(), [](int8_t c) { return c == 127; }) !=
              std::any_of(codes.begin() + 512, codes.end(), [](int8_t c) { return c == -127; }));
    });
}

TEST_CASE("matmul_int8: operands that do not fit are refused") {
    test::OwnContext context;
    const IntegerMatrix w = random_weight(8, 4, 64, 16);
    Tensor y = Tensor::zeros({2, 4}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, random_rows(2, 32, 17), w, y), Error);
    CHECK_THROWS_AS(ops::matmul_nt(context, random_rows(3, 64, 17), w, y), Error);
    CHECK_THROWS_AS(ops::matmul_nt(context, random_rows(2, 65, 17), w, y), Error);
    Tensor narrow = Tensor::zeros({2, 3}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, random_rows(2, 64, 17), w, narrow), Error);
    Int8Rows q = Int8Rows::uninitialized(2, 64);
    CHECK_THROWS_AS(ops::quantize_rows_int8(context, Tensor::zeros({2, 64}, DType::f32), q), Error);
    CHECK_THROWS_AS(ops::quantize_rows_int8(context, Tensor::zeros({2, 96}, DType::bf16), q),
                    Error);
}

}  // namespace hadal
