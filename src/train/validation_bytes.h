// How many bytes of text a token of the validation data stands for: turns nats per token into bits
// per byte, which can be compared between tokenizers.
#pragma once

#include "train/recipe.h"

namespace hadal::train {

/// 0 if the data does not tell.
double validation_bytes_per_token(const Recipe& recipe);

}  // namespace hadal::train
