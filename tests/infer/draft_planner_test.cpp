#include "infer/draft_planner.h"

#include <doctest/doctest.h>

#include "core/random.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

/// Runs a machine on which a step of n rows takes seconds(n), with guesses that are right with
/// probability p; the mean number of guesses in the second half.
template <class Seconds>
double mean_guesses(int64_t most, int64_t sequences, double p, const Seconds& seconds) {
    DraftPlanner planner(most);
    RandomSequence random(1);
    constexpr int kSteps = 4000;
    double total = 0;
    for (int step = 0; step < kSteps; ++step) {
        const int64_t guesses = planner.choose(sequences);
        if (step >= kSteps / 2) total += double(guesses) / (kSteps / 2);
        planner.observe_step(sequences * (1 + guesses), seconds(sequences * (1 + guesses)));
        for (int64_t s = 0; s < sequences && guesses > 0; ++s) {
            int64_t accepted = 0;
            while (accepted < guesses && random.uniform() < p) ++accepted;
            planner.observe_guesses(guesses, accepted);
        }
    }
    return total;
}

double flat(int64_t) {
    return 1;
}
double proportional(int64_t rows) {
    return double(rows);
}

}  // namespace

TEST_CASE("draft planner: rows that cost nothing are used to the full, even for poor guesses") {
    CHECK(mean_guesses(3, 1, 0.9, flat) > 2.999);
    CHECK(mean_guesses(3, 1, 0.3, flat) > 2.5);
}

TEST_CASE(
    "draft planner: where every row costs the same, guessing stops but for a try now and then") {
    CHECK(mean_guesses(3, 16, 0.6, proportional) < 0.05);
    CHECK(mean_guesses(3, 16, 0.6, proportional) > 0);
}

TEST_CASE("draft planner: between the two, good guesses pay and poor ones do not") {
    const auto half = [](int64_t rows) { return 1 + 0.5 * double(rows - 1); };
    CHECK(mean_guesses(1, 1, 0.9, half) > 0.95);
    CHECK(mean_guesses(1, 1, 0.2, half) < 0.1);
}

TEST_CASE("draft planner: learns the share of guesses that come true") {
    DraftPlanner planner(2);
    RandomSequence random(3);
    for (int i = 0; i < 2000; ++i) {
        int64_t accepted = 0;
        while (accepted < 2 && random.uniform() < 0.85) ++accepted;
        planner.observe_guesses(2, accepted);
    }
    CHECK(planner.acceptance() > 0.7);
    CHECK(planner.acceptance() < 0.95);
}

TEST_CASE("draft planner: none are made where none are wanted") {
    DraftPlanner planner(0);
    for (int i = 0; i < 200; ++i) CHECK(planner.choose(1) == 0);
}
