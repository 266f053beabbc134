// Goodput under failures: how often to take a snapshot, and what share of the time is progress.
// Closed forms (Young 1974, Daly 2006) and a simulation of the same process.
#pragma once

#include <cstdint>

#include "plan/inputs.h"

namespace hadal::plan {

/// Failures of the whole machine come as a Poisson process; one during a restart starts it again.
struct FailureModel {
    double mean_seconds_between = 0;  // M, of the machine
    double snapshot = 0;              // δ: seconds that training stands still
    double restart = 0;               // R
};
FailureModel failure_model(const Failures& failures, int64_t gpus);

/// √(2δM).
double young_interval(const FailureModel& model);
/// √(2δM)·(1 + ⅓·√(δ/2M) + δ/18M) − δ; M where δ ≥ 2M.
double daly_interval(const FailureModel& model);

/// δ/τ + (τ/2 + R)/M: what a reader computes by hand; at most 1.
double first_order_waste(const FailureModel& model, double interval);

/// Share of the time that is progress, exactly: τ / (e^{R/M}·M·(e^{(τ+δ)/M} − 1)).
double goodput(const FailureModel& model, double interval);

/// The same by simulation until `trials` failures have come.
struct SimulatedGoodput {
    double mean = 0;
    double half_width = 0;  // of the 99 % confidence interval
};
SimulatedGoodput simulate_goodput(const FailureModel& model, double interval, int64_t trials,
                                  uint64_t seed);

}  // namespace hadal::plan
