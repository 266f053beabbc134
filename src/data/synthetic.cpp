#include "data/synthetic.h"

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <vector>

#include "core/error.h"
#include "core/random.h"
#include "data/content_hash.h"
#include "data/story.h"
#include "data/word_lists.h"

namespace hadal::data {

namespace {

constexpr std::array kTasks = {Task::story,   Task::arithmetic, Task::recall,  Task::copy,
                               Task::reverse, Task::sort,       Task::addition};

template <size_t count>
std::string_view pick(const std::string_view (&list)[count], RandomSequence& random) {
    return list[random.below(count)];
}

/// `wanted` different entries of a list, in random order.
template <size_t count>
std::vector<std::string> pick_several(const std::string_view (&list)[count], size_t wanted,
                                      RandomSequence& random) {
    std::vector<std::string_view> left(std::begin(list), std::end(list));
    std::vector<std::string> taken;
    while (taken.size() < wanted) {
        const auto at = left.begin() + int64_t(random.below(left.size()));
        taken.emplace_back(*at);
        left.erase(at);
    }
    return taken;
}

std::string joined(const std::vector<std::string>& words) {
    std::string text;
    for (const std::string& word : words) text += " " + word;
    return text;
}

/// The same for every order of the words.
uint64_t key_of(std::vector<std::string> words) {
    std::sort(words.begin(), words.end());
    return content_hash(joined(words));
}

struct Person {
    std::string_view name;
    std::string_view he;
    std::string_view him;
};

Person any_person(RandomSequence& random) {
    if (random.below(2) == 0) return {pick(kGirls, random), "She", "her"};
    return {pick(kBoys, random), "He", "him"};
}

Example story(RandomSequence& random) {
    Story made = make_story(random);
    return {std::move(made.opening), std::move(made.rest), made.key};
}

Example sum(uint64_t a, uint64_t b, RandomSequence& random) {
    Example example;
    // 12 + 35 and 35 + 12 are one key: seeing the one would give away the other.
    example.key = std::min(a, b) * 100 + std::max(a, b);
    const std::string result = std::to_string(a + b);
    switch (random.below(6)) {
        case 0:
            example.prompt = concat("What is ", a, " plus ", b, "?");
            break;
        case 1: {
            const Person owner = any_person(random);
            const std::string_view things = pick(kCounted, random);
            example.prompt =
                concat(owner.name, " has ", a, " ", things, ". ", owner.he, " finds ", b, " more ",
                       things, ". How many ", things, " does ", owner.name, " have now?");
            break;
        }
        case 2:
            example.prompt = concat(a, " + ", b, " =");
            break;
        default:
            example.prompt = concat(a, "+", b, "=");
            example.answer = result;
            return example;
    }
    example.answer = " " + result;
    return example;
}

Example difference(uint64_t a, uint64_t b, RandomSequence& random) {
    if (a < b) std::swap(a, b);
    Example example;
    example.key = 10000 + a * 100 + b;
    const std::string result = std::to_string(a - b);
    switch (random.below(6)) {
        case 0:
            example.prompt = concat("What is ", a, " minus ", b, "?");
            break;
        case 1: {
            const Person owner = any_person(random);
            const std::string_view things = pick(kCounted, random);
            example.prompt =
                concat(owner.name, " has ", a, " ", things, ". ", owner.he, " gives away ", b, " ",
                       things, ". How many ", things, " does ", owner.name, " have now?");
            break;
        }
        case 2:
            example.prompt = concat(a, " - ", b, " =");
            break;
        default:
            example.prompt = concat(a, "-", b, "=");
            example.answer = result;
            return example;
    }
    example.answer = " " + result;
    return example;
}

Example arithmetic(RandomSequence& random) {
    const uint64_t a = random.below(100);
    const uint64_t b = random.below(100);
    return random.below(2) == 0 ? sum(a, b, random) : difference(a, b, random);
}

/// "47 + 25 = 72" as "7 4 + 5 2 = 2 7 0": from the units on, so that each digit of the answer needs
/// only what stands before it.
Example addition(RandomSequence& random) {
    const uint64_t a = random.below(100);
    const uint64_t b = random.below(100);
    const uint64_t sum = a + b;
    Example example;
    example.key = std::min(a, b) * 100 + std::max(a, b);
    example.prompt = concat("digits ", a % 10, " ", a / 10, " + ", b % 10, " ", b / 10, " =");
    example.answer = concat(" ", sum % 10, " ", sum / 10 % 10, " ", sum / 100);
    return example;
}

Example recall_values(RandomSequence& random) {
    const size_t pairs = 3 + random.below(6);
    const std::vector<std::string> keys = pick_several(kNouns, pairs, random);
    const size_t asked = random.below(pairs);
    Example example;
    std::string value;
    for (size_t i = 0; i < pairs; ++i) {
        const std::string number = std::to_string(random.below(100));
        if (i == asked) value = number;
        example.prompt += concat(i == 0 ? "" : ", ", keys[i], ": ", number);
    }
    example.prompt += concat(". ", keys[asked], "?");
    example.answer = " " + value;
    example.key = content_hash(keys[asked] + " " + value);
    return example;
}

Example recall_things(RandomSequence& random) {
    const size_t people = 2 + random.below(4);
    std::vector<std::string> names;
    while (names.size() < people) {
        std::string name(any_person(random).name);
        if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(name);
    }
    const size_t asked = random.below(people);
    Example example;
    for (size_t i = 0; i < people; ++i) {
        // Two statements: the order in which a call's arguments draw is the compiler's choice.
        const std::string_view color = pick(kColors, random);
        const std::string thing = concat("a ", color, " ", pick(kThings, random));
        if (i == asked) example.answer = " " + thing;
        example.prompt += concat(names[i], " has ", thing, ". ");
    }
    example.prompt += concat("What does ", names[asked], " have?");
    example.key = content_hash(names[asked] + example.answer);
    return example;
}

Example recall(RandomSequence& random) {
    return random.below(2) == 0 ? recall_values(random) : recall_things(random);
}

Example copy(RandomSequence& random) {
    const auto words = pick_several(kNouns, 2 + random.below(5), random);
    return {concat("copy:", joined(words), " ->"), joined(words), key_of(words)};
}

Example reverse(RandomSequence& random) {
    auto words = pick_several(kNouns, 2 + random.below(4), random);
    Example example{concat("reverse:", joined(words), " ->"), "", key_of(words)};
    std::reverse(words.begin(), words.end());
    example.answer = joined(words);
    return example;
}

Example sort(RandomSequence& random) {
    std::vector<uint64_t> numbers;
    const size_t count = 2 + random.below(4);
    while (numbers.size() < count) {
        const uint64_t number = random.below(100);
        if (std::find(numbers.begin(), numbers.end(), number) == numbers.end()) {
            numbers.push_back(number);
        }
    }
    Example example{"sort:", "", 0};
    for (const uint64_t number : numbers) example.prompt += concat(" ", number);
    example.prompt += " ->";
    std::sort(numbers.begin(), numbers.end());
    for (const uint64_t number : numbers) example.answer += concat(" ", number);
    example.key = content_hash(example.answer);
    return example;
}

Example draw(Task task, RandomSequence& random) {
    switch (task) {
        case Task::story:
            return story(random);
        case Task::arithmetic:
            return arithmetic(random);
        case Task::addition:
            return addition(random);
        case Task::recall:
            return recall(random);
        case Task::copy:
            return copy(random);
        case Task::reverse:
            return reverse(random);
        case Task::sort:
            return sort(random);
    }
    HADAL_ASSERT(false);
    return {};
}

}  // namespace

std::span<const Task> all_tasks() {
    return kTasks;
}

std::string_view name(Task task) {
    switch (task) {
        case Task::story:
            return "story";
        case Task::arithmetic:
            return "arithmetic";
        case Task::addition:
            return "addition";
        case Task::recall:
            return "recall";
        case Task::copy:
            return "copy";
        case Task::reverse:
            return "reverse";
        case Task::sort:
            return "sort";
    }
    return "";
}

Task task_named(std::string_view wanted) {
    std::string names;
    for (const Task task : kTasks) {
        if (name(task) == wanted) return task;
        names += concat(names.empty() ? "" : ", ", name(task));
    }
    throw Error(Error::Kind::usage, concat("no task '", wanted, "' (there are ", names, ")"));
}

Split split_of_key(Task task, uint64_t key) {
    // A fixed stream, not the run's seed: two runs agree on what is held out. The lists of copy and
    // reverse share a stream, so that a list held out from the one is not learned in the other.
    const uint64_t stream = task == Task::reverse ? uint64_t(Task::copy) : uint64_t(task);
    return random_bits(0x73706C6974, stream, key) % kValidationKeys == 0 ? Split::validation
                                                                         : Split::train;
}

Example make_example(Task task, uint64_t seed, int64_t index, Split split) {
    RandomSequence random(random_bits(seed, uint64_t(task) * 2 + uint64_t(split), uint64_t(index)));
    for (;;) {  // ends: every task has thousands of keys, one in twenty of them held out
        Example example = draw(task, random);
        if (split_of_key(task, example.key) == split) return example;
    }
}

Document make_document(Task task, uint64_t seed, int64_t index, Split split) {
    const Example example = make_example(task, seed, index, split);
    Document document;
    document.text = example.prompt + example.answer;
    document.source = name(task);
    document.split = split;
    document.task = name(task);
    document.prompt = example.prompt;
    document.answer = example.answer;
    return document;
}

std::string evaluation_line(Task task, const Example& example) {
    nlohmann::ordered_json line;
    line["task"] = name(task);
    line["prompt"] = example.prompt;
    const size_t begin = example.answer.find_first_not_of(' ');
    line["answer"] = example.answer.substr(begin == std::string::npos ? 0 : begin);
    return line.dump();
}

}  // namespace hadal::data
