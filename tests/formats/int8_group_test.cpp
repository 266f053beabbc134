#include "formats/int8_group.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

#include "core/random.h"
#include "formats/bfloat16.h"

using namespace hadal;
namespace formats = hadal::formats;

namespace {

constexpr size_t kGroup = size_t(formats::kInt8Group);
using Group = std::array<float, kGroup>;
using Words = std::array<int32_t, kGroup / 4>;

int byte_of(const Words& packed, size_t i) {
    return int(uint32_t(packed[i / 4]) >> (8 * (i % 4)) & 255);
}

Words encoded(const Group& w, float scale) {
    Words packed{};
    formats::encode_int8(w, to_bf16(scale), packed);
    return packed;
}

Group random_group(RandomSequence& random, double size) {
    Group w;
    for (float& value : w) value = float(random.normal() * size);
    return w;
}

}  // namespace

TEST_CASE("int8: every code at every place of a word stands for its value, under every exponent") {
    auto q = formats::Int8Matrix::uninitialized({32, 32});
    Tensor single = Tensor::uninitialized({32, 32}, DType::f32);
    Tensor brain = Tensor::uninitialized({32, 32}, DType::bf16);
    for (uint32_t bits = 0; bits < 0x8000; bits += 37) {
        const bf16 scale{uint16_t(bits)};
        if (!std::isfinite(to_float(scale))) continue;
        for (size_t row = 0; row < 32; ++row) {
            for (size_t word = 0; word < 8; ++word) {
                uint32_t packed = 0;
                for (size_t i = 0; i < 4; ++i)
                    packed |= uint32_t((row * 8 + word * 4 + i) % 256) << (8 * i);
                q.packed.row<int32_t>(int64_t(row))[word] = int32_t(packed);
            }
            q.scale.row<bf16>(int64_t(row))[0] = scale;
        }
        formats::dequantize_int8(q, single);
        formats::dequantize_int8(q, brain);
        bool right = true;
        for (size_t row = 0; row < 32; ++row) {
            for (size_t j = 0; j < 32; ++j) {
                const int value = int((row * 8 + j) % 256) - 128;
                const auto expected = float(double(value) * double(to_float(scale)));
                right = right && single.row<float>(int64_t(row))[j] == expected &&
                        brain.row<bf16>(int64_t(row))[j] == to_bf16(expected);
            }
        }
        CAPTURE(bits);
        REQUIRE(right);
    }
}

TEST_CASE("int8: codes are rounded to nearest even and clipped") {
    for (const float scale : {1.f, 0.5f, 0x1p-40f}) {
        for (int quarters = -600; quarters <= 600; ++quarters) {
            Group w{};
            const size_t place = size_t(quarters + 600) % kGroup;
            w[place] = float(quarters) / 4 * scale;
            const Words packed = encoded(w, scale);
            const double nearest = std::nearbyint(quarters / 4.0);  // ties to even
            CAPTURE(quarters);
            CHECK(byte_of(packed, place) == int(std::fmin(std::fmax(nearest, -128), 127)) + 128);
            CHECK(byte_of(packed, (place + 1) % kGroup) == 128);
        }
    }
}

TEST_CASE("int8: no weight is farther from its value than half a step, and none is clipped") {
    RandomSequence random(3);
    for (int trial = 0; trial < 500; ++trial) {
        const Group w = random_group(random, std::exp2(trial % 60 - 30));
        const double step = to_float(formats::int8_scale(w));
        const Words packed = encoded(w, float(step));
        for (size_t i = 0; i < kGroup; ++i) {
            const double error = w[i] - (byte_of(packed, i) - 128) * step;
            CHECK(std::abs(error) <= step / 2 * (1 + 1e-6));
        }
    }
}

TEST_CASE("int8: what is on the grid of amax / 127 comes back exactly") {
    Group w;
    for (size_t i = 0; i < kGroup; ++i) w[i] = float(int(i * 8) - 127) * 0.375f;
    CHECK(to_float(formats::int8_scale(w)) == 0.375f);
    for (size_t i = 0; i < kGroup; ++i)
        CHECK(float(byte_of(encoded(w, 0.375f), i) - 128) * 0.375f == w[i]);
}

TEST_CASE("int8: zeros and vanishing weights are zeros, NaN and infinity never a number") {
    Group w{};
    CHECK(to_float(formats::int8_scale(w)) == 1);
    w[3] = std::numeric_limits<float>::denorm_min();
    CHECK(to_float(formats::int8_scale(w)) == 1);
    for (size_t i = 0; i < kGroup; ++i) CHECK(byte_of(encoded(w, 1), i) == 128);
    for (const float odd : {NAN, -NAN, INFINITY, -INFINITY}) {
        for (const size_t place : {size_t(0), size_t(31)}) {
            Tensor one = Tensor::zeros({1, 32}, DType::f32);
            one.values<float>()[place] = odd;
            auto q = formats::Int8Matrix::uninitialized({1, 32});
            formats::quantize_int8(one, q);
            Tensor y = Tensor::uninitialized({1, 32}, DType::f32);
            formats::dequantize_int8(q, y);
            for (const float value : y.values<float>()) CHECK(std::isnan(value));
        }
    }
}

TEST_CASE("int8: groups lie along the row, each with its own scale, of bf16 as of f32") {
    RandomSequence random(9);
    Tensor w = Tensor::uninitialized({5, 96}, DType::f32);
    Tensor narrow = Tensor::uninitialized({5, 96}, DType::bf16);
    for (int64_t i = 0; i < w.count(); ++i) {
        const bf16 value = to_bf16(float(random.normal() * std::exp2(double(i / 32))));
        narrow.values<bf16>()[size_t(i)] = value;
        w.values<float>()[size_t(i)] = to_float(value);
    }
    auto q = formats::Int8Matrix::uninitialized(w.shape());
    auto q_narrow = formats::Int8Matrix::uninitialized(w.shape());
    formats::quantize_int8(w, q);
    formats::quantize_int8(narrow, q_narrow);
    CHECK(q.shape() == Shape{5, 96});
    CHECK(q.bytes() == 5 * 96 * 17 / 16);  // 8.5 bits
    for (int64_t row = 0; row < 5; ++row) {
        for (size_t group = 0; group < 3; ++group) {
            Group values;
            std::copy_n(w.row<float>(row).begin() + int64_t(group * kGroup), kGroup,
                        values.begin());
            const bf16 scale = formats::int8_scale(values);
            CHECK(q.scale.row<bf16>(row)[group] == scale);
            CHECK(q_narrow.scale.row<bf16>(row)[group] == scale);
            const Words packed = encoded(values, to_float(scale));
            for (size_t word = 0; word < packed.size(); ++word) {
                CHECK(q.packed.row<int32_t>(row)[group * 8 + word] == packed[word]);
                CHECK(q_narrow.packed.row<int32_t>(row)[group * 8 + word] == packed[word]);
            }
        }
    }
    const auto part = q.rows(2, 2);
    CHECK(part.shape() == Shape{2, 96});
    CHECK(part.scale.row<bf16>(1)[2] == q.scale.row<bf16>(3)[2]);
}

TEST_CASE("int8: shapes that are not whole groups are refused") {
    CHECK(formats::fits_int8({3, 64}));
    CHECK(!formats::fits_int8({3, 48}));
    CHECK(!formats::fits_int8({64}));
    auto q = formats::Int8Matrix::uninitialized({2, 64});
    Tensor y = Tensor::zeros({2, 32}, DType::f32);
    CHECK_THROWS_AS(formats::dequantize_int8(q, y), Error);
    CHECK_THROWS_AS(formats::quantize_int8(y, q), Error);
}
