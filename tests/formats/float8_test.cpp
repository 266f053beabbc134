#include "formats/float8.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using hadal::f8_e4m3;
using hadal::to_f8_e4m3;
using hadal::to_float;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// The nearest of the 127 finite magnitudes by looking at all of them; of two equally near the even
/// code.
uint8_t nearest_by_search(float value) {
    int best = 0;
    double best_distance = std::numeric_limits<double>::infinity();
    for (int code = 0; code < 0x7F; ++code) {
        const double distance =
            std::fabs(double(std::fabs(value)) - double(to_float(f8_e4m3{uint8_t(code)})));
        if (distance < best_distance || (distance == best_distance && code % 2 == 0)) {
            best = code;
            best_distance = distance;
        }
    }
    return uint8_t(best | (std::signbit(value) ? 0x80 : 0));
}

}  // namespace

TEST_CASE("float8: every one of the 256 codes has its value and comes back from it") {
    for (int code = 0; code < 256; ++code) {
        CAPTURE(code);
        const float value = to_float(f8_e4m3{uint8_t(code)});
        const int exponent = (code >> 3) & 15;
        const double expected = exponent == 0 ? std::ldexp(double(code & 7), -9)
                                              : std::ldexp(double(8 + (code & 7)), exponent - 10);
        if ((code & 0x7F) == 0x7F) {
            CHECK(std::isnan(value));
        } else {
            CHECK(value == float((code & 0x80) != 0 ? -expected : expected));
        }
        CHECK(to_f8_e4m3(value).bits == code);
    }
}

TEST_CASE("float8: a value becomes the nearest code, of two the even one") {
    for (int code = 0; code < 0x7E; ++code) {
        const float low = to_float(f8_e4m3{uint8_t(code)});
        const float high = to_float(f8_e4m3{uint8_t(code + 1)});
        for (const float value : {low, (low + high) / 2, low + (high - low) / 3}) {
            for (const float near :
                 {value, std::nextafter(value, 0.0f), std::nextafter(value, kInfinity)}) {
                CAPTURE(near);
                CHECK(to_f8_e4m3(near).bits == nearest_by_search(near));
                CHECK(to_f8_e4m3(-near).bits == nearest_by_search(-near));
            }
        }
    }
}

TEST_CASE("float8: what is too large saturates and what is no number stays none") {
    CHECK(to_f8_e4m3(448.0f).bits == 0x7E);
    CHECK(to_f8_e4m3(465.0f).bits == 0x7E);
    CHECK(to_f8_e4m3(kInfinity).bits == 0x7E);
    CHECK(to_f8_e4m3(-1e30f).bits == 0xFE);
    CHECK(to_f8_e4m3(std::numeric_limits<float>::quiet_NaN()).bits == 0x7F);
    CHECK(to_f8_e4m3(0x1.0p-10f).bits == 0x00);  // half of the smallest: ties to even, that is zero
    CHECK(to_f8_e4m3(-0.0f).bits == 0x80);
}

TEST_CASE("float8: E5M2 is the upper byte of a binary16, rounded to nearest even") {
    for (int code = 0; code < 256; ++code) {
        if ((code & 0x7C) == 0x7C) continue;
        CAPTURE(code);
        const int exponent = (code >> 2) & 31, fraction = code & 3;
        const double magnitude =
            exponent == 0 ? std::ldexp(fraction, -16) : std::ldexp(4 + fraction, exponent - 17);
        const auto value = float((code & 0x80) != 0 ? -magnitude : magnitude);
        CHECK(to_float(hadal::f8_e5m2{uint8_t(code)}) == value);
        CHECK(hadal::to_f8_e5m2(value).bits == code);
        if ((code & 0x7F) == 0x7B) continue;
        const float middle = (value + to_float(hadal::f8_e5m2{uint8_t(code + 1)})) / 2;
        CHECK(hadal::to_f8_e5m2(middle).bits == code + code % 2);
        CHECK(hadal::to_f8_e5m2(std::nextafter(middle, 0.0f)).bits == code);
        CHECK(hadal::to_f8_e5m2(std::nextafter(middle, std::copysign(1e9f, middle))).bits ==
              code + 1);
    }
    CHECK(hadal::to_f8_e5m2(1e9f).bits == 0x7B);
    CHECK(hadal::to_f8_e5m2(-kInfinity).bits == 0xFB);
    CHECK(std::isnan(to_float(hadal::to_f8_e5m2(std::numeric_limits<float>::quiet_NaN()))));
}
