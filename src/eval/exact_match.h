// Exact match: a model continues each prompt greedily, and its answer must be the expected text.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "core/context.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::eval {

struct ExactMatchItem {
    std::string task;
    std::string prompt;
    std::string answer;  // without surrounding white space
};

/// A JSONL file of {"prompt", "answer", "task"}; a missing task is "all". Error(bad_input) names
/// file and line.
std::vector<ExactMatchItem> read_exact_match_items(const std::filesystem::path& path);

struct ExactMatchScore {
    std::string task;
    int64_t count = 0;
    int64_t correct = 0;

    double value() const;
    /// Standard error of a share: √(p(1−p)/n).
    double standard_error() const;
};

/// Scores per task, in the order of their first item. The answer is what the model writes up to a
/// line break, a stop id or `max_new_tokens`, without surrounding white space. `on_item` reports
/// progress.
std::vector<ExactMatchScore> exact_match(Context& context, const model::Model& model,
                                         const text::Tokenizer& tokenizer,
                                         const std::vector<ExactMatchItem>& items,
                                         int64_t max_new_tokens,
                                         const std::function<void(size_t done)>& on_item = {});

}  // namespace hadal::eval
