#include <doctest/doctest.h>

#include <cmath>

#include "optim/batch_size_schedule.h"
#include "optim/learning_rate.h"

using namespace hadal::optim;

namespace {

constexpr int64_t kB = 1'000'000'000, kT = 1000 * kB;

/// Report §4.2.
const LearningRateSchedule kReport = {.peak = 2.2e-4,
                                      .warmup_steps = 2000,
                                      .constant_until = 10 * kT,
                                      .cosine_until = 14300 * kB,
                                      .low = 2.2e-5,
                                      .last_from = 14633 * kB,
                                      .last = 7.3e-6};

}  // namespace

TEST_CASE("learning rate: the report's schedule at its corners") {
    CHECK(learning_rate(kReport, 0, 0) == doctest::Approx(2.2e-4 / 2000));
    CHECK(learning_rate(kReport, 999, kB) == doctest::Approx(1.1e-4));
    CHECK(learning_rate(kReport, 1999, kB) == 2.2e-4);
    CHECK(learning_rate(kReport, 2000, kB) == 2.2e-4);
    CHECK(learning_rate(kReport, 200000, 10 * kT - 1) == 2.2e-4);
    CHECK(learning_rate(kReport, 200000, 10 * kT + 2150 * kB) ==
          doctest::Approx((2.2e-4 + 2.2e-5) / 2));
    CHECK(learning_rate(kReport, 200000, 14300 * kB) == 2.2e-5);
    CHECK(learning_rate(kReport, 200000, 14633 * kB - 1) == 2.2e-5);
    CHECK(learning_rate(kReport, 200000, 14633 * kB) == 7.3e-6);
}

TEST_CASE("learning rate: the cosine falls at every step and joins both ends") {
    double before = 2.2e-4;
    for (int64_t i = 1; i <= 430; ++i) {
        const double rate = learning_rate(kReport, 5000, 10 * kT + i * 10 * kB - 1);
        CHECK(rate < before);
        before = rate;
    }
    CHECK(before == doctest::Approx(2.2e-5));
}

TEST_CASE("learning rate: without warm-up the first step has the full rate") {
    CHECK(learning_rate({.peak = 1e-3, .warmup_steps = 0, .constant_until = 10, .cosine_until = 10},
                        0, 0) == 1e-3);
}

TEST_CASE("batch size: 3072 to 15360 over 469B tokens, then constant") {
    const BatchSizeSchedule report{
        .first = 3072, .sequences = 15360, .ramp_tokens = 469 * kB, .multiple = 16};
    CHECK(batch_size(report, 0) == 3072);
    CHECK(batch_size(report, 469 * kB / 2) == 9216);
    CHECK(batch_size(report, 469 * kB - 1) == 15344);  // rounded down to 16
    CHECK(batch_size(report, 469 * kB) == 15360);
    CHECK(batch_size(report, 14 * kT) == 15360);
    CHECK(batch_size({.sequences = 8}, 0) == 8);
    CHECK(batch_size({.first = 1, .sequences = 8, .ramp_tokens = 100, .multiple = 4}, 1) == 4);
}
