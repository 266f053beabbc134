// What a recipe's schedules amount to: the steps at which something changes, with the learning
// rate, batch, γ and λ from there on. Report §4.2 is a list of such positions.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "train/recipe.h"

namespace hadal::train {

struct StepTableRow {
    std::string what;    // "start", "batch ramp ends", …; of several at one step the names joined
    int64_t step = 0;    // the first step that it holds for, from 1; the last row: the last step
    int64_t tokens = 0;  // seen before that step; the last row: after it
    double learning_rate = 0;
    int64_t batch = 0;      // sequences
    double bias_rate = 0;   // γ
    double mtp_weight = 0;  // λ
};

/// In the order of the steps. A run of 2^60 steps takes no longer than its batch ramp.
std::vector<StepTableRow> step_table(const Recipe& recipe);

/// Steps until the recipe's end.
int64_t count_steps(const Recipe& recipe);

}  // namespace hadal::train
