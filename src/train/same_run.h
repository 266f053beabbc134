// Whether a snapshot may be continued with what is here now: recipe, data, tokenizer. Everything
// that differs is named at once, so that one look mends it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "data/loader.h"
#include "train/recipe.h"

namespace hadal::train {

/// What the user allows on a resume, and whom to tell.
struct ResumeOptions {
    std::vector<std::string> allow_change = {};  // keys of the recipe: learning_rate.peak, …
    std::function<void(const std::string&)> warn = [](const std::string&) {};
};

/// Error(usage) for a key that is unknown or that no run may change: shapes, seed, data.
void check_allowed_changes(std::span<const std::string> keys);

/// Error(bad_input) lists every key that differs and may not; warns of those that are allowed.
void check_same_recipe(const Recipe& now, const Recipe& before, const ResumeOptions& options,
                       const std::string& where);

/// Error(bad_input) names every set of token ids that is missing, new, cut, or of other content.
void check_same_data(std::span<const data::SourceIdentity> now,
                     std::span<const data::SourceIdentity> before, const std::string& where);

/// Of the tokenizer.json of data.tokenizer; "" without one.
std::string tokenizer_digest(const Recipe& recipe);

}  // namespace hadal::train
