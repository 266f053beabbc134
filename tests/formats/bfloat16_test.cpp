#include "formats/bfloat16.h"

#include <doctest/doctest.h>

#include <cmath>
#include <limits>

using hadal::bf16;
using hadal::f16;
using hadal::to_bf16;
using hadal::to_f16;
using hadal::to_float;

namespace {

/// The value of a code of `exponent_bits` and `fraction_bits`, by the definition of IEEE 754 in
/// double precision.
double value_of(uint32_t code, int exponent_bits, int fraction_bits) {
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const auto exponent = int((code >> fraction_bits) & ((1u << exponent_bits) - 1));
    const uint32_t fraction = code & ((1u << fraction_bits) - 1);
    const double sign = (code >> (exponent_bits + fraction_bits)) != 0 ? -1 : 1;
    if (exponent == (1 << exponent_bits) - 1) {
        return fraction == 0 ? sign * std::numeric_limits<double>::infinity()
                             : std::numeric_limits<double>::quiet_NaN();
    }
    if (exponent == 0) return sign * std::ldexp(double(fraction), 1 - bias - fraction_bits);
    return sign *
           std::ldexp(double(fraction + (1u << fraction_bits)), exponent - bias - fraction_bits);
}

bool same_value(double a, double b) {
    return (std::isnan(a) && std::isnan(b)) || (a == b && std::signbit(a) == std::signbit(b));
}

/// Between each code and the next: just below the midpoint goes down, just above goes up, the
/// midpoint to the even one.
template <class Narrow, class Round>
void check_midpoints(uint32_t largest, const Round& round) {
    int wrong = 0;
    for (uint32_t code = 0; code < largest; ++code) {
        const float low = to_float(Narrow{uint16_t(code)});
        const float high = to_float(Narrow{uint16_t(code + 1)});
        const auto middle = float((double(low) + double(high)) / 2);
        const uint32_t even = code % 2 == 0 ? code : code + 1;
        wrong += round(middle).bits != even;
        wrong += round(-middle).bits != (even | 0x8000u);
        wrong += round(std::nextafter(middle, 0.0f)).bits != code;
        wrong +=
            round(std::nextafter(middle, std::numeric_limits<float>::infinity())).bits != code + 1;
    }
    CHECK(wrong == 0);
}

}  // namespace

TEST_CASE("bfloat16: every one of the 65536 codes has its value and comes back from it") {
    int wrong_values = 0;
    int wrong_trips = 0;
    for (uint32_t code = 0; code < 0x10000; ++code) {
        const float value = to_float(bf16{uint16_t(code)});
        wrong_values += !same_value(value, value_of(code, 8, 7));
        const uint32_t back = to_bf16(value).bits;
        wrong_trips += back != (std::isnan(value) ? (code | 0x40u) : code);
    }
    CHECK(wrong_values == 0);
    CHECK(wrong_trips == 0);
}

TEST_CASE("bfloat16: rounds to nearest, ties to even, and overflows to infinity") {
    check_midpoints<bf16>(0x7F7F, [](float value) { return to_bf16(value); });
    CHECK(to_bf16(std::numeric_limits<float>::max()).bits == 0x7F80);
    CHECK(to_bf16(-std::numeric_limits<float>::max()).bits == 0xFF80);
}

TEST_CASE("float16: every one of the 65536 codes has its value and comes back from it") {
    int wrong_values = 0;
    int wrong_trips = 0;
    for (uint32_t code = 0; code < 0x10000; ++code) {
        const float value = to_float(f16{uint16_t(code)});
        wrong_values += !same_value(value, value_of(code, 5, 10));
        const uint32_t back = to_f16(value).bits;
        wrong_trips +=
            std::isnan(value) ? !std::isnan(to_float(f16{uint16_t(back)})) : back != code;
    }
    CHECK(wrong_values == 0);
    CHECK(wrong_trips == 0);
}

TEST_CASE("float16: rounds to nearest, ties to even, and overflows to infinity") {
    check_midpoints<f16>(0x7BFF, [](float value) { return to_f16(value); });
    CHECK(to_f16(65519.0f).bits == 0x7BFF);
    CHECK(to_f16(65520.0f).bits == 0x7C00);
    CHECK(to_f16(-1e30f).bits == 0xFC00);
    CHECK(to_f16(1e-30f).bits == 0);
}
