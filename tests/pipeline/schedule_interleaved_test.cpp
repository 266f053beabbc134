#include "pipeline/schedule_interleaved.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "pipeline/simulate.h"
#include "pipeline/support.h"

namespace hadal::pipeline {

using test::list_text;

TEST_CASE("interleaved: two ranks with two stages each, by hand") {
    const Schedule schedule =
        schedule_interleaved({.ranks = 2, .micro_batches = 4, .stages_per_rank = 2});
    // Groups of two micro-batches through both stages; backwards take the second stage first.
    CHECK(list_text(schedule, 0) == "F0 F1 F0' F1' F2 B0' F3 B1' F2' B0 F3' B1 B2' B3' B2 B3");
    CHECK(list_text(schedule, 1) == "F0 F1 F0' B0' F1' B1' F2 B0 F3 B1 F2' B2' F3' B3' B2 B3");
}

TEST_CASE("interleaved: thinner stages, more messages") {
    const auto messages = [](int stages_per_rank) {
        const Schedule schedule = schedule_interleaved(
            {.ranks = 4, .micro_batches = 8, .stages_per_rank = stages_per_rank});
        return std::ranges::count(schedule.actions[1], ActionKind::send, &Action::kind);
    };
    CHECK(messages(1) == 2 * 8);
    CHECK(messages(2) == 4 * 8);
    CHECK(messages(4) == 8 * 8);
}

TEST_CASE("interleaved: rank 0 holds the first stages of all groups that are under way") {
    for (const int per_rank : {2, 3}) {
        const Schedule schedule =
            schedule_interleaved({.ranks = 4, .micro_batches = 16, .stages_per_rank = per_rank});
        const Timeline timeline = simulate(schedule, Timing());
        // The warm-up of 2·(P−1) + (v−1)·P forwards and one more before the first backward.
        CHECK(timeline.peak_activations[0] == 2 * 3 + (per_rank - 1) * 4 + 1);
        CHECK(timeline.peak_activations[3] == (per_rank - 1) * 4 + 1);
    }
}

}  // namespace hadal::pipeline
