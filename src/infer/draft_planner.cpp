#include "infer/draft_planner.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace hadal::infer {

namespace {

constexpr double kNewShare = 0.1;       // of a new observation in a running mean
constexpr int64_t kTryAgainAfter = 64;  // steps

size_t size_index(int64_t rows) {
    return size_t(std::bit_width(uint64_t(rows - 1)));  // 1 → 0, 2 → 1, 3 and 4 → 2
}

}  // namespace

void DraftPlanner::observe_step(int64_t rows, double seconds) {
    double& mean = seconds_[std::min(size_index(rows), kSizes - 1)];
    mean = mean == 0 ? seconds : mean + kNewShare * (seconds - mean);
}

void DraftPlanner::observe_guesses(int64_t guesses, int64_t accepted) {
    for (int64_t i = 0; i < std::min(accepted + 1, guesses); ++i) {
        acceptance_ += kNewShare / 2 * ((i < accepted ? 1.0 : 0.0) - acceptance_);
    }
}

/// Of a size that was not seen the best that can be hoped: the time of the next smaller one, or its
/// share of the next larger one's. So every size is tried that might pay.
double DraftPlanner::seconds_of(int64_t rows) const {
    const size_t index = std::min(size_index(rows), kSizes - 1);
    for (size_t i = index + 1; i-- > 0;) {
        if (seconds_[i] > 0) return seconds_[i];
    }
    for (size_t i = index + 1; i < kSizes; ++i) {
        if (seconds_[i] > 0) return seconds_[i] * std::ldexp(1.0, int(index) - int(i));
    }
    return 1;
}

int64_t DraftPlanner::choose(int64_t sequences) {
    if (most_ == 0) return 0;
    int64_t best = 0;
    double best_rate = 0, expected = 0;
    for (int64_t guesses = 0; guesses <= most_; ++guesses) {
        expected += std::pow(acceptance_, double(guesses));  // tokens of a step, per sequence
        const double rate = expected / seconds_of(sequences * (1 + guesses));
        if (rate > best_rate) {
            best = guesses;
            best_rate = rate;
        }
    }
    steps_without_ = best > 0 ? 0 : steps_without_ + 1;
    if (steps_without_ >= kTryAgainAfter) {
        steps_without_ = 0;
        return 1;
    }
    return best;
}

}  // namespace hadal::infer
