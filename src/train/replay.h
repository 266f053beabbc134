// Runs one recorded step of a run again, bit for bit, and looks inside it: `hadal train --replay`.
// Writes nothing.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/progress.h"
#include "train/spike_record.h"

namespace hadal::train {

struct ReplayedLayer {
    std::string name;           // "embedding", "layer 3", "MTP 1", "final norm", "head"
    double grad_norm = 0;       // before clipping
    int64_t not_finite = 0;     // parameters whose gradient has a value that is not finite
    double activation_max = 0;  // max |x| of the residual stream that the layer was given; ∞ if
                                // a value is not finite, 0 where there is none
    double max_violation = 0;   // of the experts' load; 0 for what has no experts
    int64_t dead_experts = 0;
};

struct ReplayedSequence {
    int64_t sample = 0;  // index in the run's data
    double loss = 0;     // nats per token
    double activation_max = 0;
    std::vector<int32_t> first_ids;  // its beginning
};

struct Replay {
    SpikeRecord record;
    int64_t replayed_from = 0;  // steps done in the snapshot; 0: fresh weights
    std::string snapshot;       // its directory, "" for fresh weights
    double loss = 0;
    double grad_norm = 0;
    bool same_bits = false;  // loss and norm are the recorded ones
    std::vector<ReplayedLayer> layers;
    std::vector<ReplayedSequence> sequences;  // the worst first
};

struct ReplayOptions {
    ProgressCallback on_progress = [](int64_t, int64_t) {};  // steps up to the recorded one
    std::function<void(const std::string&)> warn = [](const std::string&) {};
};

/// `json` is RUN/spikes/step-N.json. Starts from the state saved with it, else from the newest
/// whole snapshot of RUN of before the step, else from fresh weights, and trains up to it.
/// Error(bad_input) if the data no longer gives the recorded batch.
Replay replay(Context& context, const std::filesystem::path& json, const ReplayOptions& options);

}  // namespace hadal::train
