// Where a recipe's samples come from: the folder that `hadal data pack` left, or single sets of
// token ids.
#pragma once

#include <filesystem>
#include <vector>

#include "data/loader.h"
#include "train/recipe.h"

namespace hadal::train {

struct DataSources {
    std::vector<data::MixtureSource> training;
    std::vector<std::filesystem::path> validation;
    /// Of the validation text: turns nats per token into bits per byte, which can be compared
    /// between tokenizers. 0: unknown.
    double validation_bytes_per_token = 0;
};

/// Error(bad_input) when the data has a larger vocabulary than the model.
DataSources find_data(const Recipe& recipe);

}  // namespace hadal::train
