// The recipe that RECIPE, --set, --seed and --dtype together mean.
#pragma once

#include "cli/arguments.h"
#include "train/recipe.h"

namespace hadal::cli {

/// For commands that declare RECIPE and a repeated --set. --seed and --dtype go before both.
train::Recipe read_recipe_argument(const Arguments& arguments);

}  // namespace hadal::cli
