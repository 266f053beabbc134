// Looks at a step's gradients before they are used: clips their global norm, and skips a step whose
// loss or gradients are not finite, so that one bad batch cannot poison the weights. Report §4.2:
// clip at 1.0.
#pragma once

#include <cstdint>
#include <span>

#include "core/context.h"
#include "optim/adamw.h"

namespace hadal::optim {

struct GuardSettings {
    double clip_norm = 1;          // 0: no clipping
    int64_t max_skipped_run = 20;  // this many bad steps one after the other end the run
};

/// What a snapshot must hold.
struct GuardState {
    int64_t skipped = 0;      // steps skipped so far
    int64_t skipped_run = 0;  // without a good one since
};

class GradientGuard {
  public:
    struct Verdict {
        double norm = 0;   // √ Σ g², of all parameters, before clipping
        double scale = 1;  // min(1, clip/(norm + 1e-6))
        bool skip = false;
    };

    explicit GradientGuard(const GuardSettings& settings) : settings_(settings) {}

    /// The sum runs over parameters in order, within each in ops::sum_of_squares' fixed order: the
    /// same bits for any number of threads. Error(bad_input) when too many steps in a row were bad.
    Verdict inspect(Context& context, std::span<const OptimizedParameter> parameters, double loss);

    const GuardState& state() const {
        return state_;
    }
    void restore(const GuardState& state) {
        state_ = state;
    }

  private:
    GuardSettings settings_;
    GuardState state_;
};

}  // namespace hadal::optim
