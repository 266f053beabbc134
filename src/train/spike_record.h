// What is kept of a step whose loss or gradients were not finite or jumped, so that it can be run
// again (replay.h): RUN/spikes/step-N.json, and its token ids in step-N.safetensors beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>

#include "core/tensor.h"
#include "train/trainer.h"

namespace hadal::train {

struct SpikeRecord {
    int64_t step = 0;  // counts from 1: the step after `step − 1` steps
    std::string reason;
    bool skipped = false;
    double loss = 0;       // not a number where it was not finite, as for the next
    double grad_norm = 0;  // before clipping
    double loss_median = 0;
    double loss_deviation = 0;
    double norm_median = 0;
    double norm_deviation = 0;
    double learning_rate = 0;
    int64_t tokens = 0;  // seen before the step
    int64_t first_sample = 0;
    uint64_t data_fingerprint = 0;
    std::string recipe;  // the run's, resolved
    Tensor ids;          // [sequences, seq_len + 1] i32
};

/// Of a step between compute_step and finish_step.
SpikeRecord describe_spike(const Trainer& trainer, const StepResult& result);

/// Writes RUN/spikes/step-N.*, which it replaces, and returns the path of the .json.
std::filesystem::path write_spike(const std::filesystem::path& run, const SpikeRecord& record);
/// How many steps are recorded.
int64_t count_spikes(const std::filesystem::path& run);
/// Where states of before recorded steps lie, as snapshots.
std::filesystem::path spike_states(const std::filesystem::path& run);

/// Error(corrupt_file) names what is missing in which file.
SpikeRecord read_spike(const std::filesystem::path& json);

}  // namespace hadal::train
