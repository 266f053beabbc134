// The memory that a recipe needs, counted without taking any: the same declarations of shapes that
// training allocates.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace hadal::train {

/// All activations of one name ("q_a", "kv"): of all layers, or of backward.
struct PlannedActivation {
    std::string name;
    int64_t count = 0;          // how many tensors
    int64_t bytes = 0;          // of all together
    int64_t bytes_in_full = 0;  // the same if everything were kept in the model's type
};

struct MemoryPlan {
    int64_t parameters = 0;  // MTP included
    int64_t active_parameters = 0;
    int64_t steps = 0;
    int64_t tokens = 0;
    int64_t weights = 0;  // bytes, here and below
    int64_t master = 0;   // 0 where the weights are f32
    int64_t moments = 0;
    int64_t gradients = 0;
    int64_t average = 0;              // of the parameters: ema.decay
    int64_t snapshot_copy = 0;        // of what is written in the background
    int64_t activations = 0;          // of one micro-batch: saved for backward, and backward's own
    int64_t activations_in_full = 0;  // if all were kept in the model's type
    std::vector<PlannedActivation> parts;

    int64_t total() const {
        return weights + master + moments + gradients + average + snapshot_copy + activations;
    }
};

/// Scratch memory of the operators is not in it: it depends on the threads; see docs/training.md.
MemoryPlan plan_memory(const Recipe& recipe);

/// Floating-point operations of matrix products per token, forward and backward: chosen experts
/// only, causal half of attention, backward twice the forward; MTP modules counted while their loss
/// has a weight.
double training_flops_per_token(const Recipe& recipe);

}  // namespace hadal::train
