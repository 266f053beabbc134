#include "formats/e5m6.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>
#include <vector>

using hadal::E5M6;
using hadal::to_e5m6;
using hadal::to_float;

namespace {

/// By the definition of the format, in float64.
double value_of(int code) {
    const int exponent = (code >> 6) & 31, fraction = code & 63;
    const double magnitude =
        exponent == 0 ? std::ldexp(fraction, -20) : std::ldexp(64 + fraction, exponent - 21);
    return (code & 0x800) != 0 ? -magnitude : magnitude;
}

}  // namespace

TEST_CASE("e5m6: every finite code has its value and comes back from it") {
    for (int code = 0; code < 4096; ++code) {
        if ((code & 0x7C0) == 0x7C0) continue;
        CAPTURE(code);
        CHECK(double(to_float(E5M6{uint16_t(code)})) == value_of(code));
        CHECK(to_e5m6(float(value_of(code))).bits == code);
    }
}

TEST_CASE("e5m6: between two codes the nearer one is taken, in the middle the even one") {
    for (int code = 0; code < 0x7BF; ++code) {
        CAPTURE(code);
        const auto middle = float((value_of(code) + value_of(code + 1)) / 2);  // exact
        const float below = std::nextafter(middle, 0.0f), above = std::nextafter(middle, 1e9f);
        CHECK(to_e5m6(middle).bits == code + code % 2);
        CHECK(to_e5m6(below).bits == code);
        CHECK(to_e5m6(above).bits == code + 1);
        CHECK(to_e5m6(-above).bits == ((code + 1) | 0x800));
    }
}

TEST_CASE("e5m6: what is too large saturates and what is no number stays none") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    CHECK(to_float(to_e5m6(65024.0f)) == 65024);
    CHECK(to_float(to_e5m6(1e9f)) == 65024);
    CHECK(to_float(to_e5m6(-kInfinity)) == -65024);
    CHECK(std::isnan(to_float(to_e5m6(std::numeric_limits<float>::quiet_NaN()))));
    CHECK(to_e5m6(-0.0f).bits == 0x800);
}

TEST_CASE("e5m6: two values lie in three bytes, whatever they are") {
    uint8_t pair[3];
    for (int first = 0; first < 4096; ++first) {
        const int second = (first * 1021 + 7) % 4096;
        hadal::put_e5m6_pair({uint16_t(first)}, {uint16_t(second)}, pair);
        CHECK((pair[0] | pair[1] << 8 | pair[2] << 16) == (first | second << 12));
        CHECK(hadal::e5m6_at(pair, 0).bits == first);
        CHECK(hadal::e5m6_at(pair, 1).bits == second);
    }
    CHECK(hadal::e5m6_row_bytes(4) == 6);
    CHECK(hadal::e5m6_row_bytes(5) == 9);
}
