#include "formats/e8m0.h"

#include <doctest/doctest.h>

#include <cmath>
#include <initializer_list>

using hadal::E8M0;
using hadal::power_of_two_from;
using hadal::to_e8m0;
using hadal::to_float;

TEST_CASE("e8m0: every code is its power of two and comes back from it") {
    for (int code = 0; code < 255; ++code) {
        CAPTURE(code);
        CHECK(to_float(E8M0{uint8_t(code)}) == std::ldexp(1.0f, code - 127));
        CHECK(to_e8m0(std::ldexp(1.0f, code - 127)).bits == code);
    }
    CHECK(std::isnan(to_float(E8M0{255})));
    for (const float other : {0.0f, -1.0f, 3.0f, INFINITY, NAN, 0x1p-128f}) {
        CHECK(to_e8m0(other).bits == 255);
    }
}

TEST_CASE("e8m0: a scale is rounded up to a power of two") {
    for (int exponent = -126; exponent < 127; ++exponent) {
        const float power = std::ldexp(1.0f, exponent);
        CHECK(power_of_two_from(power) == power);
        CHECK(power_of_two_from(std::nextafter(power, INFINITY)) == 2 * power);
        CHECK(power_of_two_from(1.999f * power) == 2 * power);
    }
    CHECK(power_of_two_from(0x1p-140f) == 0x1p-126f);
    CHECK(power_of_two_from(INFINITY) == INFINITY);
    CHECK(std::isnan(power_of_two_from(NAN)));
}
