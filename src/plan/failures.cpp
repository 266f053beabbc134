#include "plan/failures.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "core/random.h"

namespace hadal::plan {

FailureModel failure_model(const Failures& failures, int64_t gpus) {
    return {.mean_seconds_between = failures.gpu_hours_between * 3600 / double(gpus),
            .snapshot = failures.snapshot_s,
            .restart = failures.restart_s};
}

double young_interval(const FailureModel& model) {
    return std::sqrt(2 * model.snapshot * model.mean_seconds_between);
}

double daly_interval(const FailureModel& model) {
    const double ratio = model.snapshot / (2 * model.mean_seconds_between);
    if (ratio >= 1) return model.mean_seconds_between;
    return young_interval(model) * (1 + std::sqrt(ratio) / 3 + ratio / 9) - model.snapshot;
}

double first_order_waste(const FailureModel& model, double interval) {
    return std::min(1.0, model.snapshot / interval +
                             (interval / 2 + model.restart) / model.mean_seconds_between);
}

double goodput(const FailureModel& model, double interval) {
    const double mean = model.mean_seconds_between;
    return interval /
           (std::exp(model.restart / mean) * mean * std::expm1((interval + model.snapshot) / mean));
}

namespace {

/// Work kept and time passed between one failure and the next, from the failure on.
struct Cycle {
    double work = 0, time = 0;
};

Cycle simulate_cycle(const FailureModel& model, double interval, RandomSequence& random) {
    const double until_failure = -model.mean_seconds_between * std::log1p(-random.uniform());
    const double running = std::max(0.0, until_failure - model.restart);
    // Only what a finished snapshot holds survives.
    return {.work = interval * std::floor(running / (interval + model.snapshot)),
            .time = until_failure};
}

}  // namespace

SimulatedGoodput simulate_goodput(const FailureModel& model, double interval, int64_t trials,
                                  uint64_t seed) {
    RandomSequence random(seed);
    std::vector<Cycle> cycles;
    double work = 0, time = 0;
    for (int64_t i = 0; i < trials; ++i) {
        cycles.push_back(simulate_cycle(model, interval, random));
        work += cycles.back().work;
        time += cycles.back().time;
    }
    const double mean = work / time;
    // Variance of a ratio of sums by linearisation: cycles are independent of each other.
    double squares = 0;
    for (const Cycle& cycle : cycles) {
        const double residual = cycle.work - mean * cycle.time;
        squares += residual * residual;
    }
    constexpr double kNormal99 = 2.5758;
    return {.mean = mean, .half_width = kNormal99 * std::sqrt(squares) / time};
}

}  // namespace hadal::plan
