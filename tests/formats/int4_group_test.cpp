#include "formats/int4_group.h"

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

constexpr size_t kGroup = size_t(formats::kInt4Group);
using Group = std::array<float, kGroup>;

int nibble(const std::array<int32_t, 4>& packed, size_t i) {
    return int(uint32_t(packed[i / 8]) >> (4 * (i % 8)) & 15);
}

std::array<int32_t, 4> encoded(const Group& w, float scale) {
    std::array<int32_t, 4> packed{};
    formats::encode_int4(w, to_bf16(scale), packed);
    return packed;
}

double squared_error(const Group& w, bf16 scale) {
    const auto packed = encoded(w, to_float(scale));
    double sum = 0;
    for (size_t i = 0; i < kGroup; ++i)
        sum += std::pow(double(w[i]) - (nibble(packed, i) - 8) * double(to_float(scale)), 2);
    return sum;
}

Group random_group(RandomSequence& random, double size) {
    Group w;
    for (float& value : w) value = float(random.normal() * size);
    return w;
}

}  // namespace

TEST_CASE("int4: every code at every place stands for its value, under every finite scale") {
    auto q = formats::Int4Matrix::uninitialized({16, 32});
    Tensor single = Tensor::uninitialized({16, 32}, DType::f32);
    Tensor brain = Tensor::uninitialized({16, 32}, DType::bf16);
    for (uint32_t bits = 0; bits < 0x8000; ++bits) {
        const bf16 scale{uint16_t(bits)};
        if (!std::isfinite(to_float(scale))) continue;
        if (bits % 41 != 0 && bits > 256) continue;  // all exponents, all fractions
        for (int64_t row = 0; row < 16; ++row) {
            for (size_t word = 0; word < 4; ++word) {
                uint32_t packed = 0;
                for (size_t i = 0; i < 8; ++i)
                    packed |= uint32_t((size_t(row) + word * 8 + i) % 16) << (4 * i);
                q.packed.row<int32_t>(row)[word] = int32_t(packed);
            }
            q.scale.row<bf16>(row)[0] = scale;
        }
        formats::dequantize_int4(q, single);
        formats::dequantize_int4(q, brain);
        bool right = true;
        for (int64_t row = 0; row < 16; ++row) {
            for (size_t j = 0; j < 32; ++j) {
                const float expected =
                    float(double(int((size_t(row) + j) % 16) - 8) * double(to_float(scale)));
                right = right && single.row<float>(row)[j] == expected &&
                        brain.row<bf16>(row)[j] == to_bf16(expected);
            }
        }
        CAPTURE(bits);
        REQUIRE(right);
    }
}

TEST_CASE("int4: codes are rounded to nearest even and clipped") {
    for (const float scale : {1.f, 0.5f, 0x1p-40f}) {
        for (int eighths = -100; eighths <= 100; ++eighths) {
            Group w{};
            const size_t place = size_t(eighths + 100) % kGroup;
            w[place] = float(eighths) / 8 * scale;
            const auto packed = encoded(w, scale);
            const double nearest = std::nearbyint(eighths / 8.0);  // ties to even
            CAPTURE(eighths);
            for (size_t i = 0; i < kGroup; ++i)
                CHECK(nibble(packed, i) ==
                      (i == place ? int(std::fmin(std::fmax(nearest, -8), 7)) + 8 : 8));
        }
    }
}

TEST_CASE("int4: no code is farther from its weight than half a step, but where it is clipped") {
    RandomSequence random(3);
    for (int trial = 0; trial < 500; ++trial) {
        const Group w = random_group(random, std::exp2(trial % 60 - 30));
        const bf16 scale = formats::int4_scale(w);
        const auto packed = encoded(w, to_float(scale));
        for (size_t i = 0; i < kGroup; ++i) {
            const double step = to_float(scale), error = w[i] - (nibble(packed, i) - 8) * step;
            const bool beyond = w[i] > 7 * step || w[i] < -8 * step;
            CHECK((beyond || std::abs(error) <= step / 2 * (1 + 1e-6)));
            if (beyond) CHECK(nibble(packed, i) == (w[i] > 0 ? 15 : 0));
        }
    }
}

TEST_CASE("int4: the chosen scale is never worse than amax / 7, and much better on average") {
    RandomSequence random(5);
    double chosen = 0, plain = 0;
    for (int trial = 0; trial < 500; ++trial) {
        const Group w = random_group(random, 1);
        float amax = 0;
        for (const float value : w) amax = std::max(amax, std::abs(value));
        const double best = squared_error(w, formats::int4_scale(w));
        const double largest = squared_error(w, to_bf16(amax / 7));
        CHECK(best <= largest);
        chosen += best;
        plain += largest;
    }
    CHECK(chosen < 0.9 * plain);
}

TEST_CASE("int4: what is on the grid of amax / 7 comes back exactly") {
    Group w;
    for (size_t i = 0; i < kGroup; ++i) w[i] = float(int(i % 15) - 7) * 0.375f;
    CHECK(to_float(formats::int4_scale(w)) == 0.375f);
    CHECK(squared_error(w, formats::int4_scale(w)) == 0);
}

TEST_CASE("int4: zeros and vanishing weights are zeros, NaN and infinity never a number") {
    Group w{};
    CHECK(to_float(formats::int4_scale(w)) == 1);
    for (size_t i = 0; i < kGroup; ++i) CHECK(nibble(encoded(w, 1), i) == 8);
    w[3] = std::numeric_limits<float>::denorm_min();
    CHECK(std::isfinite(to_float(formats::int4_scale(w))));
    for (size_t i = 0; i < kGroup; ++i) CHECK(nibble(encoded(w, 1), i) == 8);
    for (const float odd : {NAN, -NAN, INFINITY, -INFINITY}) {
        for (size_t place : {size_t(0), size_t(31)}) {
            Tensor one = Tensor::zeros({1, 32}, DType::f32);
            one.values<float>()[place] = odd;
            auto q = formats::Int4Matrix::uninitialized({1, 32});
            formats::quantize_int4(one, {}, q);
            Tensor y = Tensor::uninitialized({1, 32}, DType::f32);
            formats::dequantize_int4(q, y);
            for (const float value : y.values<float>()) CHECK(std::isnan(value));
        }
    }
}

TEST_CASE("int4: groups lie along the row, each with its own scale, of bf16 as of f32") {
    RandomSequence random(9);
    Tensor w = Tensor::uninitialized({5, 96}, DType::f32);
    Tensor narrow = Tensor::uninitialized({5, 96}, DType::bf16);
    for (int64_t i = 0; i < w.count(); ++i) {
        const bf16 value = to_bf16(float(random.normal() * std::exp2(double(i / 32))));
        narrow.values<bf16>()[size_t(i)] = value;
        w.values<float>()[size_t(i)] = to_float(value);
    }
    auto q = formats::Int4Matrix::uninitialized(w.shape());
    auto q_narrow = formats::Int4Matrix::uninitialized(w.shape());
    formats::quantize_int4(w, {}, q);
    formats::quantize_int4(narrow, {}, q_narrow);
    CHECK(q.shape() == Shape{5, 96});
    CHECK(q.bytes() == 5 * 96 * 9 / 16);  // 4.5 bits
    for (int64_t row = 0; row < 5; ++row) {
        for (size_t group = 0; group < 3; ++group) {
            Group values;
            std::copy_n(w.row<float>(row).begin() + int64_t(group * kGroup), kGroup,
                        values.begin());
            const bf16 scale = formats::int4_scale(values);
            CHECK(q.scale.row<bf16>(row)[group] == scale);
            CHECK(q_narrow.scale.row<bf16>(row)[group] == scale);
            const auto packed = encoded(values, to_float(scale));
            for (size_t word = 0; word < 4; ++word) {
                CHECK(q.packed.row<int32_t>(row)[group * 4 + word] == packed[word]);
                CHECK(q_narrow.packed.row<int32_t>(row)[group * 4 + word] == packed[word]);
            }
        }
    }
    const auto part = q.rows(2, 2);
    CHECK(part.shape() == Shape{2, 96});
    CHECK(part.scale.row<bf16>(1)[2] == q.scale.row<bf16>(3)[2]);
}

TEST_CASE("int4: shapes that are not whole groups are refused") {
    CHECK(formats::fits_int4({3, 64}));
    CHECK(!formats::fits_int4({3, 48}));
    CHECK(!formats::fits_int4({64}));
    auto q = formats::Int4Matrix::uninitialized({2, 64});
    Tensor y = Tensor::zeros({2, 32}, DType::f32);
    CHECK_THROWS_AS(formats::dequantize_int4(q, y), Error);
    CHECK_THROWS_AS(formats::quantize_int4(y, {}, q), Error);
}

namespace {

double weighted_error(const Group& w, const Group& importance, bf16 scale) {
    const auto packed = encoded(w, to_float(scale));
    double sum = 0;
    for (size_t i = 0; i < kGroup; ++i) {
        const double error = double(w[i]) - (nibble(packed, i) - 8) * double(to_float(scale));
        sum += double(importance[i]) * error * error;
    }
    return sum;
}

}  // namespace

TEST_CASE("int4: with importance the weighted error falls, and is never above that without") {
    RandomSequence random(11);
    double with = 0, without = 0;
    for (int trial = 0; trial < 400; ++trial) {
        const Group w = random_group(random, 0.02);
        Group importance = random_group(random, 1);
        for (float& value : importance)
            value = std::exp(2 * value);  // some columns far above others
        const double careful = weighted_error(w, importance, formats::int4_scale(w, importance));
        const double plain = weighted_error(w, importance, formats::int4_scale(w));
        CHECK(careful <= plain);
        with += careful;
        without += plain;
    }
    CHECK(with < 0.85 * without);
}

TEST_CASE("int4: the scale for one important column is nearly exact there") {
    RandomSequence random(12);
    for (int trial = 0; trial < 50; ++trial) {
        Group w = random_group(random, 1);
        w[5] = 1;  // far enough from zero for a code other than 0
        Group importance{};
        importance[5] = 1;
        const bf16 scale = formats::int4_scale(w, importance);
        const double error = weighted_error(w, importance, scale);
        // bf16 holds 8 bits: a code's scale is within 2^-9 of the best one.
        CHECK(error <= std::pow(double(w[5]) * 0x1p-8, 2));
    }
}

TEST_CASE("int4: no importance at all, zeros and what is not finite are as without") {
    RandomSequence random(13);
    const Group w = random_group(random, 1), none{};
    CHECK(to_float(formats::int4_scale(w, none)) == to_float(formats::int4_scale(w)));
    CHECK(to_float(formats::int4_scale(none, w)) == 1);
    Group broken = w;
    broken[3] = std::numeric_limits<float>::infinity();
    CHECK(!std::isfinite(to_float(formats::int4_scale(broken, none))));
}
