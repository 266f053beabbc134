#include "pipeline/schedule_1f1b.h"

#include <doctest/doctest.h>

#include "pipeline/simulate.h"

namespace hadal::pipeline {

TEST_CASE("1f1b: bubble (PP−1)(F+B) on every rank, as in the V3 report's table 2") {
    for (const int ranks : {1, 2, 3, 8, 16}) {
        for (const int micro_batches : {ranks, 2 * ranks + 1}) {
            CAPTURE(ranks);
            CAPTURE(micro_batches);
            const Schedule schedule =
                schedule_1f1b({.ranks = ranks, .micro_batches = micro_batches});
            const Timing timing = {.stages = {{.forward = 1.25, .backward = 2.5}}};
            const Timeline timeline = simulate(schedule, timing);
            CHECK(timeline.makespan == (micro_batches + ranks - 1) * 3.75);
            for (const double idle : timeline.idle) CHECK(idle == (ranks - 1) * 3.75);
        }
    }
}

TEST_CASE("1f1b: rank r holds at most PP − r micro-batches") {
    const Timeline timeline = simulate(schedule_1f1b({.ranks = 5, .micro_batches = 12}), Timing());
    CHECK(timeline.peak_activations == std::vector<int>{5, 4, 3, 2, 1});
}

}  // namespace hadal::pipeline
