#include "train/balance_monitor.h"

#include <doctest/doctest.h>

using namespace hadal::train;

TEST_CASE("balance: an expert below a sixteenth of the mean for n steps is reported once") {
    BalanceMonitor monitor(3);
    // The mean is 160/4 = 40, a sixteenth of it 2.5.
    const std::vector<std::vector<int64_t>> load = {{78, 80, 2, 0}, {77, 40, 40, 3}};
    for (int step = 1; step <= 6; ++step) {
        CAPTURE(step);
        const auto finding = monitor.update(load);
        CHECK(finding.dead == 1);
        CHECK(finding.starved == (step >= 3 ? 2 : 0));
        CHECK(finding.newly.size() == (step == 3 ? 2u : 0u));
        if (step == 3) CHECK(places_text(finding.newly) == "experts 2, 3 of MoE layer 1");
    }
}

TEST_CASE("balance: an expert that recovers and starves again is reported again") {
    BalanceMonitor monitor(2);
    const std::vector<std::vector<int64_t>> starving = {{10, 0}}, even = {{5, 5}};
    CHECK(monitor.update(starving).newly.empty());
    CHECK(monitor.update(starving).newly.size() == 1);
    CHECK(monitor.update(even).starved == 0);
    CHECK(monitor.update(starving).newly.empty());
    CHECK(monitor.update(starving).newly.size() == 1);
}

TEST_CASE("balance: a restored monitor goes on counting, and 0 steps never report") {
    BalanceMonitor monitor(4), copy(4), silent(0);
    const std::vector<std::vector<int64_t>> load = {{9, 0, 0}};
    for (int i = 0; i < 3; ++i) monitor.update(load);
    copy.restore(monitor.state());
    CHECK(copy.update(load).newly.size() == 2);
    for (int i = 0; i < 9; ++i) CHECK(silent.update(load).starved == 0);
    CHECK(silent.update({}).dead == 0);
}

TEST_CASE("balance: places are named by layer, layers from 1") {
    CHECK(places_text({}) == "");
    CHECK(places_text(
              {{.layer = 1, .expert = 3}, {.layer = 1, .expert = 17}, {.layer = 4, .expert = 0}}) ==
          "experts 3, 17 of MoE layer 2, expert 0 of MoE layer 5");
}
