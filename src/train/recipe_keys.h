// The table of a recipe's keys, which parsing, writing, comparing and the documentation share.
#pragma once

#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "train/recipe.h"

namespace hadal::train {

struct RecipeKey {
    using Target = std::variant<int64_t*, double*, bool*, std::string*, std::vector<std::string>*,
                                std::vector<double>*>;

    std::string name;  // "batch.sequences"
    Target target;     // into the recipe given
    std::string_view unit;
    std::string_view help;
    double minimum = 0;
    double maximum = 9e18;
    std::vector<std::string_view> choices = {};
    bool is_position = false;        // text is a Position
    bool may_change = false;         // between a run and its resumption
    bool change_on_request = false;  // the same, if the user asks for it by name
};

/// All keys except those of [model], which are config.json's.
std::vector<RecipeKey> recipe_keys(Recipe& recipe);

/// Tokens or share of a Position: {tokens, −1} or {0, share}. False if it is neither.
struct ParsedPosition {
    double tokens = 0;
    double share = -1;
};
bool parse_position(std::string_view text, ParsedPosition& position);

}  // namespace hadal::train
