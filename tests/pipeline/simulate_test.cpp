#include "pipeline/simulate.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

Schedule one_f_one_b(int ranks, int micro_batches) {
    return make_schedule("1f1b", {.ranks = ranks, .micro_batches = micro_batches});
}

}  // namespace

TEST_CASE("simulate: two ranks and two micro-batches, by hand") {
    // rank 0: F0 [0,1] F1 [1,2] … B0 [4,6] B1 [7,9]; rank 1: F0 [1,2] B0 [2,4] F1 [4,5] B1 [5,7].
    const Timeline timeline = simulate(one_f_one_b(2, 2), Timing());
    CHECK(timeline.makespan == 9);
    CHECK(timeline.busy == std::vector<double>{6, 6});
    CHECK(timeline.idle == std::vector<double>{3, 3});
    CHECK(timeline.peak_activations == std::vector<int>{2, 1});
}

TEST_CASE("simulate: a message costs its time between ranks and nothing on the rank") {
    // One micro-batch over three ranks: 3 F, 3 B, 4 messages.
    const Timeline timeline = simulate(one_f_one_b(3, 1), {.message = 0.5});
    CHECK(timeline.makespan == 3 * 1 + 3 * 2 + 4 * 0.5);
    CHECK(timeline.busy == std::vector<double>{3, 3, 3});
}

TEST_CASE("simulate: stages of different length") {
    Timing timing;
    timing.stages = {{.forward = 1, .backward = 2},
                     {.forward = 4, .backward = 8, .overlapped = 12}};
    CHECK(simulate(one_f_one_b(2, 1), timing).makespan == 15);
}

TEST_CASE("simulate: a list that waits for itself is an error, not a hang") {
    Schedule schedule = one_f_one_b(2, 1);
    schedule.actions[1] = {{.kind = ActionKind::backward, .chunk = {1, 0}},
                           {.kind = ActionKind::forward, .chunk = {1, 0}}};
    CHECK_THROWS_AS(simulate(schedule, Timing()), Error);
}

}  // namespace hadal::pipeline
