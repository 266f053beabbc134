#include "core/progress.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace hadal;

TEST_CASE("progress: a steady rate is exact from the second call on") {
    ProgressRate rate;
    CHECK(rate.per_second() == 0);
    rate.update(100, 5000);
    CHECK(rate.per_second() == 0);
    for (int i = 1; i <= 50; ++i) {
        rate.update(100 + 0.5 * i, 5000 + 40 * i);
        CHECK(rate.per_second() == doctest::Approx(80));
    }
}

TEST_CASE("progress: the rate follows a machine that becomes slow, by e in ten seconds") {
    ProgressRate rate;
    double done = 0, seconds = 0;
    rate.update(seconds, done);
    for (int i = 0; i < 1000; ++i) rate.update(seconds += 0.1, done += 10);
    CHECK(rate.per_second() == doctest::Approx(100));
    for (int i = 0; i < 100; ++i) rate.update(seconds += 0.1, done += 1);
    // Of the fading window the share e⁻¹ is still of before.
    CHECK(rate.per_second() == doctest::Approx(10 + 90 * std::exp(-1)).epsilon(0.001));
}

TEST_CASE("progress: a clock that stands still, and a task that begins anew, give no nonsense") {
    ProgressRate rate;
    rate.update(1, 10);
    rate.update(1, 20);
    CHECK(rate.per_second() == 0);
    rate.update(2, 5);
    CHECK(rate.per_second() == 0);
    rate.update(4, 11);
    CHECK(rate.per_second() == doctest::Approx(3));
}

TEST_CASE("progress: durations and numbers as people write them") {
    CHECK(duration_text(0) == "0 s");
    CHECK(duration_text(59.4) == "59 s");
    CHECK(duration_text(59.6) == "1:00");
    CHECK(duration_text(187) == "3:07");
    CHECK(duration_text(7380) == "2:03:00");
    CHECK(duration_text(17 * 86400.0) == "17 days");
    CHECK(duration_text(INFINITY) == "for ever");
    CHECK(duration_text(NAN) == "for ever");
    CHECK(short_number(0) == "0");
    CHECK(short_number(950) == "950");
    CHECK(short_number(0.25) == "0.25");
    CHECK(short_number(999.6) == "1.00k");
    CHECK(short_number(12345) == "12.3k");
    CHECK(short_number(1.2e6) == "1.20M");
    CHECK(short_number(14.8e12) == "14.8T");
}

TEST_CASE("progress: the line says share, note, rate and time left, as far as they are known") {
    CHECK(progress_text({.done = 25, .total = 100, .unit = "tokens", .note = ""}) ==
          " 25% [=====               ]");
    CHECK(progress_text(
              {.done = 50, .total = 100, .per_second = 0.5, .unit = "tokens", .note = "step 3"}) ==
          " 50% [==========          ] step 3  0.50 tokens/s  1:40 left");
    CHECK(
        progress_text({.done = 120, .total = 100, .per_second = 2, .unit = "files", .note = ""}) ==
        "100% [====================]  2 files/s  0 s left");
    CHECK(progress_text({.done = 1234, .per_second = 20, .unit = "files", .note = ""}) ==
          "1.23k files  20 files/s");
}
