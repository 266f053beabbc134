// The clock: when each action of a schedule runs, given how long each takes.
#pragma once

#include <vector>

#include "pipeline/schedule.h"
#include "pipeline/timing.h"

namespace hadal::pipeline {

struct Span {
    double begin = 0, end = 0;
};

struct Timeline {
    std::vector<std::vector<Span>> spans;  // [ranks][actions]; a message: its time on the wire
    double makespan = 0;
    double shortest = 0;       // computation that takes any time; 0 if none does
    std::vector<double> busy;  // [ranks] computing
    std::vector<double> idle;  // [ranks] makespan − busy
    /// [ranks] the largest number of chunks whose forward has begun and whose gradients, those of
    /// weights included, are not finished.
    std::vector<int> peak_activations;
};

/// Runs every rank's computations in their order, each as soon as its rank is free and what it
/// needs has arrived. Messages cost their sender and receiver nothing and links carry any number
/// at once: sends that are buffered and receives that are posted ahead.
Timeline simulate(const Schedule& schedule, const Timing& timing);

}  // namespace hadal::pipeline
