// Looks at a step's loss and gradients before they are used: clips the global norm, skips a step
// whose loss or gradients are not finite, so that one bad batch cannot poison the weights, and
// finds steps whose loss or norm jumps. Report §4.2: clip at 1.0; §1: no irrecoverable loss spike.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "core/context.h"
#include "optim/adamw.h"
#include "optim/spike_detector.h"

namespace hadal::optim {

struct GuardSettings {
    double clip_norm = 1;  // 0: no clipping
    int64_t max_skipped_run =
        20;  // this many skipped steps one after the other end the run; 0: none
    SpikeSettings spikes = {};
    bool skip_spikes = false;
};

/// What a snapshot must hold.
struct GuardState {
    int64_t skipped = 0;         // steps skipped so far
    int64_t skipped_run = 0;     // without a good one since
    int64_t spikes = 0;          // found so far, skipped or not
    std::vector<double> losses;  // the windows, oldest first
    std::vector<double> norms;
};

class GradientGuard {
  public:
    struct Verdict {
        double norm = 0;   // √ Σ g², of all parameters, before clipping
        double scale = 1;  // min(1, clip/(norm + 1e-6))
        bool finite = true;
        SpikeDetector::Judgement loss_jump;  // of no meaning unless finite
        SpikeDetector::Judgement norm_jump;
        bool skip = false;      // the step must change no weight
        bool diverged = false;  // and was the last one allowed

        bool spike() const {
            return loss_jump.spike || norm_jump.spike;
        }
        /// What stands out, for people: "the loss 9.1 is 41 deviations above its median 2.3"; "" if
        /// nothing does.
        std::string reason(double loss) const;
    };

    explicit GradientGuard(const GuardSettings& settings);

    /// The sum runs over parameters in order, within each in ops::sum_of_squares' fixed order: the
    /// same bits for any number of threads. Changes nothing.
    Verdict inspect(Context& context, std::span<const OptimizedParameter> parameters,
                    double loss) const;
    /// Counts the step and takes its values into the windows.
    void record(const Verdict& verdict, double loss);

    GuardState state() const;
    void restore(const GuardState& state);

  private:
    GuardSettings settings_;
    int64_t skipped_ = 0;
    int64_t skipped_run_ = 0;
    int64_t spikes_ = 0;
    SpikeDetector losses_;
    SpikeDetector norms_;
};

}  // namespace hadal::optim
