#include "pipeline/timing.h"

#include <doctest/doctest.h>

#include <limits>

#include "core/error.h"

namespace hadal::pipeline {

TEST_CASE("timing: an overlapped pair of two stages saves what the lesser stage saves") {
    Timing timing;
    timing.stages = {{.forward = 1, .backward = 2, .weight = 1, .overlapped = 2.5},  // saves 0.5
                     {.forward = 2, .backward = 4, .weight = 2, .overlapped = 5}};   // saves 1
    const auto pair = [&timing](int forward, int backward) {
        return timing.duration({.kind = ActionKind::forward_backward,
                                .chunk = {forward, 0},
                                .backward = {backward, 0}});
    };
    CHECK(pair(0, 0) == 2.5);
    CHECK(pair(1, 1) == 5);
    CHECK(pair(0, 1) == 1 + 4 - 0.5);
    CHECK(pair(1, 0) == 2 + 2 - 0.5);
}

TEST_CASE("timing: times that cannot be are refused") {
    const auto refused = [](StageTimes times, double message = 0) {
        CHECK_THROWS_AS(check_timing({.stages = {times}, .message = message}, 4), Error);
    };
    refused({.forward = -1});
    refused({.forward = std::numeric_limits<double>::quiet_NaN()});
    refused({.backward = std::numeric_limits<double>::infinity()});
    refused({.backward = 1, .weight = 1.5});
    refused({.forward = 1, .backward = 2, .overlapped = 1.9});
    refused({.forward = 1e-300});
    refused({.backward = 1e300, .overlapped = 1e300});
    refused({}, -0.1);
    refused({}, std::numeric_limits<double>::infinity());
    check_timing({.stages = {{.forward = 0, .backward = 0, .weight = 0, .overlapped = 0}}}, 4);
}

}  // namespace hadal::pipeline
