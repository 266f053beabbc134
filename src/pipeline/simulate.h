// The clock: when each action of a schedule runs, given how long each takes.
#pragma once

#include <vector>

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// How long one stage works on one micro-batch, in any unit. V3 report, table 2.
struct StageTimes {
    double forward = 1;     // F
    double backward = 2;    // B, weights included
    double weight = 1;      // W, the part of B that can wait
    double overlapped = 3;  // F&B; F + B if overlapping gains nothing

    double backward_input() const {
        return backward - weight;
    }
};

struct Timing {
    std::vector<StageTimes> stages =
        std::vector<StageTimes>(1);  // one for all stages, or one for each
    double message = 0;  // from the end of an action to the arrival of its result elsewhere

    const StageTimes& of(int stage) const {
        return stages.size() == 1 ? stages[0] : stages[size_t(stage)];
    }
    /// Of a computation. An overlapped pair of two stages saves what the stage that gains less
    /// saves.
    double duration(const Action& action) const;
};

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

/// Error(usage) unless every time is finite and not negative, W ≤ B, and F&B is at least its longer
/// half.
void check_timing(const Timing& timing, int stages);

/// Runs every rank's computations in their order, each as soon as its rank is free and what it
/// needs has arrived. Messages cost their sender and receiver nothing and links carry any number
/// at once: sends that are buffered and receives that are posted ahead.
Timeline simulate(const Schedule& schedule, const Timing& timing);

}  // namespace hadal::pipeline
