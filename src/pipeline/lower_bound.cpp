#include "pipeline/lower_bound.h"

#include <algorithm>
#include <limits>

namespace hadal::pipeline {

double lower_bound(const Schedule& schedule, const Timing& timing) {
    std::vector<double> arrival(size_t(schedule.ranks), std::numeric_limits<double>::infinity());
    std::vector<double> work(size_t(schedule.ranks), 0.0);
    double alone = 0;
    for (int m = 0; m < schedule.micro_batches; ++m) {
        double forward = 0, back = 0;
        for (int stage = 0; stage < schedule.stages; ++stage) {
            const StageTimes& times = timing.of(stage);
            const int rank = schedule.rank_of({stage, m});
            if (stage > 0 && schedule.rank_of({stage - 1, m}) != rank) {
                forward += timing.message;
                back += timing.message;
            }
            arrival[size_t(rank)] = std::min(arrival[size_t(rank)], forward);
            work[size_t(rank)] += std::min(times.forward + times.backward, times.overlapped);
            forward += times.forward;
            back += times.backward_input();
        }
        alone = std::max(alone, forward + back + timing.of(0).weight);
    }
    double bound = alone;
    for (size_t rank = 0; rank < work.size(); ++rank) {
        bound = std::max(bound, arrival[rank] + work[rank]);
    }
    return bound;
}

}  // namespace hadal::pipeline
