// Generated tasks: documents without a source, in any number, the same on every machine. Example
// `index` of a task is a pure function of (seed, index, split), and the splits are disjoint by
// construction: what a task is about (the two operands, the pair that is asked for, the words of a
// list, a story's plot and cast) belongs to one split by its hash, whatever the seed, the wording
// or the order.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "data/document.h"

namespace hadal::data {

enum class Task {
    story,       // opening → the rest
    arithmetic,  // sums and differences of numbers below 100, as formulas, questions and little
                 // word problems
    recall,      // several keys with values, or people with things; one is asked for
    copy,        // a list of words again
    reverse,     // the same from the end
    sort,        // numbers in ascending order
    addition,    // two numbers below 100 and their sum, digit by digit from the units on
};

std::span<const Task> all_tasks();
std::string_view name(Task task);
/// Error(usage) lists the names.
Task task_named(std::string_view name);

struct Example {
    std::string prompt;
    std::string answer;  // with the space before it, so that prompt + answer is the text
    uint64_t key = 0;    // of what the task is about
};

/// One in this many keys belongs to validation.
constexpr uint64_t kValidationKeys = 20;
Split split_of_key(Task task, uint64_t key);

Example make_example(Task task, uint64_t seed, int64_t index, Split split);

/// The same as a document with split, prompt and answer; its source is the task's name.
Document make_document(Task task, uint64_t seed, int64_t index, Split split);

/// {"task", "prompt", "answer"}: a line of an evaluation file for exact match. The answer is
/// without surrounding space.
std::string evaluation_line(Task task, const Example& example);

}  // namespace hadal::data
