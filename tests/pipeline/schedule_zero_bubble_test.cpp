#include "pipeline/schedule_zero_bubble.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "core/random.h"
#include "pipeline/simulate.h"
#include "pipeline/support.h"

namespace hadal::pipeline {

using test::list_text;

TEST_CASE("zb-h1: three ranks, by hand: rank r defers r weight gradients") {
    const Schedule schedule = schedule_zb_h1({.ranks = 3, .micro_batches = 4});
    CHECK(list_text(schedule, 0) == "F0 F1 F2 Bi0 W0 F3 Bi1 W1 Bi2 W2 Bi3 W3");
    CHECK(list_text(schedule, 1) == "F0 F1 Bi0 F2 Bi1 W0 F3 Bi2 W1 Bi3 W2 W3");
    CHECK(list_text(schedule, 2) == "F0 Bi0 F1 Bi1 F2 Bi2 W0 F3 Bi3 W1 W2 W3");
}

TEST_CASE("zb-h1: fewer micro-batches than ranks") {
    const Schedule schedule = schedule_zb_h1({.ranks = 4, .micro_batches = 2});
    CHECK(list_text(schedule, 0) == "F0 F1 Bi0 W0 Bi1 W1");
    CHECK(list_text(schedule, 3) == "F0 Bi0 F1 Bi1 W0 W1");
}

TEST_CASE("zb-v: two ranks, by hand, each part one tick") {
    const Schedule schedule = schedule_zb_v({.ranks = 2, .micro_batches = 2});
    // Rank 0 waits for one tick, the third: its first chunk is still on its way up.
    CHECK(list_text(schedule, 0) == "F0 F1 F0' Bi0' F1' Bi1' Bi0 W0' Bi1 W1' W0 W1");
    CHECK(list_text(schedule, 1) == "F0 F0' F1 F1' Bi0' Bi0 Bi1' Bi1 W0' W0 W1' W1");
}

TEST_CASE("zb-v: never more live chunks than 1f1b has memory for, whatever the times") {
    for (uint64_t seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        RandomSequence random(seed);
        Shape shape = {.ranks = int(1 + random.below(7)),
                       .micro_batches = int(1 + random.below(30))};
        StageTimes times = {.forward = random.uniform(), .weight = random.uniform()};
        times.backward = times.weight + random.uniform();
        times.overlapped = times.forward + times.backward;
        shape.timing = {.stages = {times}, .message = random.below(2) == 0 ? 0 : random.uniform()};
        const Timeline timeline = simulate(schedule_zb_v(shape), shape.timing);
        CHECK(std::ranges::max(timeline.peak_activations) <= 2 * shape.ranks);
    }
}

TEST_CASE("zb-v: the last rank never waits once it has something to do") {
    for (const int ranks : {2, 4, 8}) {
        CAPTURE(ranks);
        const Schedule schedule = schedule_zb_v({.ranks = ranks, .micro_batches = 4 * ranks});
        const Timeline timeline = simulate(schedule, Timing());
        double end = ranks - 1;
        const std::vector<Action>& actions = schedule.actions.back();
        for (size_t i = 0; i < actions.size(); ++i) {
            if (actions[i].is_message()) continue;
            CHECK(timeline.spans.back()[i].begin == end);
            end = timeline.spans.back()[i].end;
        }
    }
}

TEST_CASE("zb-v: weight gradients run in the order in which they were deferred") {
    const Schedule schedule = schedule_zb_v({.ranks = 3, .micro_batches = 9});
    for (const auto& actions : schedule.actions) {
        std::vector<Chunk> deferred, done;
        for (const Action& action : actions) {
            if (action.kind == ActionKind::backward_input) deferred.push_back(action.chunk);
            if (action.kind == ActionKind::backward_weight) done.push_back(action.chunk);
        }
        CHECK(deferred == done);
    }
}

}  // namespace hadal::pipeline
