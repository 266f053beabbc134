// How long the actions of a pipeline take.
#pragma once

#include <vector>

#include "pipeline/action.h"

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

/// Error(usage) unless every time is 0 or a reasonable number, W ≤ B, and F&B is at least its
/// longer half.
void check_timing(const Timing& timing, int stages);

}  // namespace hadal::pipeline
