// Random shapes and durations: every schedule keeps the rules and none beats the lower bound.
#include <doctest/doctest.h>

#include "core/random.h"
#include "pipeline/check.h"
#include "pipeline/lower_bound.h"
#include "pipeline/simulate.h"

namespace hadal::pipeline {

namespace {

StageTimes random_times(RandomSequence& random) {
    StageTimes times;
    times.forward = 3 * random.uniform();
    times.weight = 3 * random.uniform();
    times.backward = times.weight + 3 * random.uniform();
    const double least = std::max(times.forward, times.backward);
    times.overlapped = least + random.uniform() * (1.2 * (times.forward + times.backward) - least);
    return times;
}

/// A shape that every schedule accepts.
Shape random_shape(RandomSequence& random) {
    const int ranks = 2 * int(1 + random.below(6));
    return {.ranks = ranks,
            .micro_batches = ranks * int(2 + random.below(3)),
            .stages_per_rank = int(1 + random.below(3))};
}

Timing random_timing(RandomSequence& random, int stages) {
    Timing timing;
    timing.stages.clear();
    const bool equal = random.below(2) == 0;
    for (int stage = 0; stage < (equal ? 1 : stages); ++stage) {
        timing.stages.push_back(random_times(random));
    }
    timing.message = random.below(2) == 0 ? 0 : random.uniform();
    return timing;
}

}  // namespace

TEST_CASE("every schedule: random shapes keep all rules, random times never beat the lower bound") {
    for (uint64_t seed = 0; seed < 60; ++seed) {
        RandomSequence random(seed);
        Shape shape = random_shape(random);
        for (const ScheduleKind& kind : schedule_kinds()) {
            shape.timing =
                random.below(2) == 0 ? Timing() : random_timing(random, kind.stages(shape));
            CAPTURE(seed);
            CAPTURE(kind.name);
            CAPTURE(shape.ranks);
            CAPTURE(shape.micro_batches);
            const Schedule schedule = make_schedule(kind.name, shape);
            CHECK(problems(schedule) == std::vector<std::string>{});
            for (int i = 0; i < 3; ++i) {
                const Timing timing = random_timing(random, schedule.stages);
                const double bound = lower_bound(schedule, timing);
                CHECK(simulate(schedule, timing).makespan >= bound * (1 - 1e-12));
            }
        }
    }
}

TEST_CASE("every schedule: the same list whenever it is asked for") {
    for (const ScheduleKind& kind : schedule_kinds()) {
        const Shape shape = {.ranks = 6, .micro_batches = 18};
        CHECK(make_schedule(kind.name, shape).actions == make_schedule(kind.name, shape).actions);
    }
}

TEST_CASE("every schedule: a slower part or message never ends a step earlier") {
    const Shape shape = {.ranks = 4, .micro_batches = 12};
    for (const ScheduleKind& kind : schedule_kinds()) {
        CAPTURE(kind.name);
        const Schedule schedule = make_schedule(kind.name, shape);
        const double makespan = simulate(schedule, Timing()).makespan;
        CHECK(simulate(schedule, {.message = 0.25}).makespan > makespan);
        CHECK(simulate(schedule, {.stages = {{.forward = 1.5, .overlapped = 3.5}}}).makespan >
              makespan);
        CHECK(simulate(schedule, {.stages = {{.backward = 2.5, .overlapped = 3.5}}}).makespan >
              makespan);
    }
}

TEST_CASE("zb-v: an order made for the times that hold waits less than one made for others") {
    const StageTimes measured = {.forward = 49, .backward = 107, .weight = 32, .overlapped = 144};
    const Timing timing = {.stages = {measured}};
    const Shape shape = {.ranks = 8, .micro_batches = 60};
    Shape fitted = shape;
    fitted.timing = timing;
    CHECK(simulate(make_schedule("zb-v", fitted), timing).makespan <
          0.9 * simulate(make_schedule("zb-v", shape), timing).makespan);
    fitted.timing = {.stages = {{.forward = 0, .backward = 0, .weight = 0, .overlapped = 0}}};
    CHECK(problems(make_schedule("zb-v", fitted)).empty());
    fitted.timing = {.message = 0.25};
    CHECK(simulate(make_schedule("zb-v", fitted), fitted.timing).makespan <
          0.9 * simulate(make_schedule("zb-v", shape), fitted.timing).makespan);
}

}  // namespace hadal::pipeline
