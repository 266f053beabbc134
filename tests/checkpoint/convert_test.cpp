#include "checkpoint/convert.h"

#include <doctest/doctest.h>

#include "formats/bfloat16.h"

using hadal::bf16;
using hadal::DType;
using hadal::Error;
using hadal::f16;
using hadal::Tensor;
using hadal::checkpoint::converted;

TEST_CASE("convert: every bfloat16 and binary16 code passes through f32 and f64 and comes back") {
    for (const DType narrow : {DType::bf16, DType::f16}) {
        CAPTURE(hadal::name(narrow));
        Tensor codes = Tensor::uninitialized({256, 256}, narrow);
        auto* words = reinterpret_cast<uint16_t*>(codes.data());
        for (int i = 0; i < 0x10000; ++i) words[i] = uint16_t(i);
        const int exponent = narrow == DType::bf16 ? 0x7F80 : 0x7C00;
        for (const DType wide : {DType::f32, DType::f64}) {
            const Tensor back = converted(converted(codes, wide), narrow);
            const auto* result = reinterpret_cast<const uint16_t*>(back.data());
            int wrong = 0;
            for (int i = 0; i < 0x10000; ++i) {
                const bool is_nan = (i & exponent) == exponent && (i & 0x7FFF) != exponent;
                wrong += !is_nan && result[i] != i;
            }
            CHECK(wrong == 0);
        }
    }
}

TEST_CASE("convert: a value between two bfloat16 numbers goes to the nearest, ties to even") {
    Tensor x = Tensor::uninitialized({3}, DType::f32);
    x.values<float>()[0] = 1 + 0x1.0p-8f;
    x.values<float>()[1] = 1 + 0x1.8p-7f;
    x.values<float>()[2] = 1 + 0x1.1p-8f;
    const Tensor y = converted(x, DType::bf16);
    CHECK(to_float(y.values<bf16>()[0]) == 1);
    CHECK(to_float(y.values<bf16>()[1]) == 1 + 0x1.0p-6f);
    CHECK(to_float(y.values<bf16>()[2]) == 1 + 0x1.0p-7f);
}

TEST_CASE(
    "convert: the type it has already costs no copy, rows may be strided, scalars are allowed") {
    const Tensor x = Tensor::zeros({4, 6}, DType::f32);
    CHECK(converted(x, DType::f32).data() == x.data());
    Tensor columns = x.columns(2, 3);
    columns.row<float>(3)[2] = 5;
    const Tensor y = converted(columns, DType::f16);
    CHECK(y.contiguous());
    CHECK(to_float(y.row<f16>(3)[2]) == 5);
    CHECK(to_float(y.row<f16>(3)[1]) == 0);
    Tensor scalar = Tensor::uninitialized({}, DType::f32);
    scalar.values<float>()[0] = 2;
    CHECK(converted(scalar, DType::f64).values<double>()[0] == 2);
    CHECK(converted(Tensor::zeros({0, 3}, DType::f32), DType::bf16).count() == 0);
}

TEST_CASE("convert: types without a defined rounding are refused") {
    CHECK_THROWS_WITH_AS(converted(Tensor::zeros({2}, DType::i64), DType::f32),
                         "a tensor of type i64 cannot be read as f32", Error);
    CHECK_THROWS_AS(converted(Tensor::zeros({2}, DType::f32), DType::i32), Error);
    CHECK_THROWS_AS(converted(Tensor::zeros({2}, DType::f8_e4m3), DType::f32), Error);
}
