#include "pipeline/timing.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

// No clock needs more, and sums and quotients of such times stay finite.
constexpr double kShortestTime = 1e-15, kLongestTime = 1e15;

void require_time(const char* what, double value) {
    if (value == 0 || (value >= kShortestTime && value <= kLongestTime)) return;
    throw Error(Error::Kind::usage,
                concat("the time of ", what, " is ", value, " (it must be 0, or from ",
                       kShortestTime, " to ", kLongestTime, ")"));
}

void check_times(const StageTimes& times) {
    require_time("a forward", times.forward);
    require_time("a backward", times.backward);
    require_time("a weight gradient", times.weight);
    require_time("an overlapped pair", times.overlapped);
    if (times.weight > times.backward) {
        throw Error(
            Error::Kind::usage,
            concat("a weight gradient of ", times.weight, " is longer than the backward of ",
                   times.backward, " that it is a part of (the backward counts both parts)"));
    }
    if (times.overlapped < std::max(times.forward, times.backward)) {
        throw Error(Error::Kind::usage, concat("an overlapped pair of ", times.overlapped,
                                               " is shorter than its longer half (give at least ",
                                               std::max(times.forward, times.backward), ")"));
    }
}

}  // namespace

double Timing::duration(const Action& action) const {
    const StageTimes& times = of(action.chunk.stage);
    switch (action.kind) {
        case ActionKind::forward:
            return times.forward;
        case ActionKind::backward:
            return times.backward;
        case ActionKind::backward_input:
            return times.backward_input();
        case ActionKind::backward_weight:
            return times.weight;
        case ActionKind::forward_backward: {
            const StageTimes& back = of(action.backward.stage);
            if (&back == &times) return times.overlapped;
            const double saved = std::min(times.forward + times.backward - times.overlapped,
                                          back.forward + back.backward - back.overlapped);
            return times.forward + back.backward - saved;
        }
        case ActionKind::send:
        case ActionKind::receive:
            return message;
    }
    HADAL_ASSERT(false);
    return 0;
}

void check_timing(const Timing& timing, int stages) {
    HADAL_ASSERT(timing.stages.size() == 1 || timing.stages.size() == size_t(stages));
    for (const StageTimes& times : timing.stages) check_times(times);
    require_time("a message", timing.message);
}

}  // namespace hadal::pipeline
