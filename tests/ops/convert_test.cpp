#include "ops/convert.h"

#include <bit>
#include <limits>

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr DType kTypes[] = {DType::bf16, DType::f16, DType::f32, DType::f64};

Tensor converted(Context& context, const Tensor& x, DType dtype) {
    Tensor y = Tensor::zeros(x.shape(), dtype);
    ops::convert(context, x, y);
    return y;
}

Tensor one(double value) {
    return test::filled({1}, DType::f64, [&](int64_t) { return value; });
}

}  // namespace

TEST_CASE("convert: every bf16 widens to float32 and comes back with the same bits") {
    test::for_each_isa([](Context& context) {
        Tensor x = Tensor::zeros({65536}, DType::bf16);
        for (int i = 0; i < 65536; ++i) x.data_as<bf16>()[i] = {uint16_t(i)};
        const Tensor wide = converted(context, x, DType::f32);
        const Tensor back = converted(context, wide, DType::bf16);
        for (int i = 0; i < 65536; ++i) {
            CAPTURE(i);
            const bf16 value = x.data_as<bf16>()[i];
            const bool nan = (i & 0x7FFF) > 0x7F80;
            REQUIRE(std::bit_cast<uint32_t>(wide.data_as<float>()[i]) == uint32_t(i) << 16);
            REQUIRE(back.data_as<bf16>()[i].bits == (nan ? value.bits | 0x40 : value.bits));
        }
    });
}

TEST_CASE("convert: float32 to bf16 gives the bits of formats/bfloat16.h, subnormals included") {
    test::for_each_isa([](Context& context) {
        Tensor x = Tensor::zeros({200000}, DType::f32);
        for (int64_t i = 0; i < x.count(); ++i) {
            auto bits = uint32_t(random_bits(1, 0, uint64_t(i)));
            if (i % 4 == 0) bits = (bits & 0xFFFF0000u) | 0x8000u;  // ties
            if (i % 64 == 1) bits &= 0x807FFFFFu;                   // subnormals
            if (i % 64 == 2) bits |= 0x7F7F0000u;                   // near overflow, or NaN
            x.data_as<float>()[i] = std::bit_cast<float>(bits);
        }
        const Tensor y = converted(context, x, DType::bf16);
        for (int64_t i = 0; i < x.count(); ++i) {
            CAPTURE(i);
            REQUIRE(y.data_as<bf16>()[i] == to_bf16(x.data_as<float>()[i]));
        }
    });
}

TEST_CASE("convert: any float type to any other is off by one rounding at most") {
    test::for_each_isa([](Context& context) {
        for (const DType from : kTypes) {
            for (const DType to : kTypes) {
                for (const Shape& shape : {Shape{0, 3}, Shape{1, 1}, Shape{3, 37}}) {
                    CAPTURE(std::string(name(from)));
                    CAPTURE(std::string(name(to)));
                    const Tensor x = test::random_tensor(shape, from, 1);
                    const Tensor y = converted(context, x, to);
                    const double u =
                        size_of(to) > size_of(from) || from == to ? 0 : test::unit_roundoff(to);
                    test::check_close(
                        y, [&](int64_t i) { return value_at(x, i); },
                        [&](int64_t i) { return u * std::abs(value_at(x, i)); });
                }
            }
        }
    });
}

TEST_CASE("convert: float64 is rounded once, not by way of float32") {
    test::for_each_isa([](Context& context) {
        // Just above the tie of two bf16 values; float32 rounds it onto the tie, which then falls
        // to even.
        const double above_tie = 1 + 0x1p-8 + 0x1p-40;
        CHECK(value_at(converted(context, one(above_tie), DType::bf16), 0) == 1 + 0x1p-7);
        CHECK(value_at(converted(context, one(-above_tie), DType::bf16), 0) == -1 - 0x1p-7);
        const double below_tie = 1 + 0x1p-7 + 0x1p-8 - 0x1p-40;
        CHECK(value_at(converted(context, one(below_tie), DType::bf16), 0) == 1 + 0x1p-7);
        const double half_tie = 1 + 0x1p-11 + 0x1p-40;
        CHECK(value_at(converted(context, one(half_tie), DType::f16), 0) == 1 + 0x1p-10);
        CHECK(std::isinf(value_at(converted(context, one(1e300), DType::bf16), 0)));
        CHECK(std::isnan(value_at(converted(context, one(std::nan("")), DType::bf16), 0)));
        CHECK(value_at(converted(context, one(-0.0), DType::f16), 0) == 0);
    });
}

TEST_CASE("convert: rows may lie apart in both tensors") {
    test::for_each_isa([](Context& context) {
        const Tensor x = test::random_tensor({4, 21}, DType::f32, 1);
        Tensor y = test::with_gaps(Tensor::zeros({4, 21}, DType::bf16));
        ops::convert(context, test::with_gaps(x, 5), y);
        CHECK(test::same_bits(y, test::as(x, DType::bf16)));
    });
}

TEST_CASE("convert: bits do not depend on the number of threads") {
    const Tensor x = test::random_tensor({300, 257}, DType::f32, 1);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        return {converted(context, x, DType::bf16), converted(context, x, DType::f16)};
    });
}

}  // namespace hadal
