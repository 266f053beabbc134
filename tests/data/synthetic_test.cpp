#include "data/synthetic.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
#include <sstream>

#include "data/story.h"
#include "data/support.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;

namespace {

std::vector<std::string> split_words(const std::string& text) {
    std::istringstream stream(text);
    return {std::istream_iterator<std::string>(stream), {}};
}

std::vector<int64_t> numbers_in(const std::string& text) {
    std::vector<int64_t> numbers;
    for (size_t i = 0; i < text.size(); ++i) {
        if (!std::isdigit(uint8_t(text[i]))) continue;
        size_t used = 0;
        numbers.push_back(std::stoll(text.substr(i), &used));
        i += used;
    }
    return numbers;
}

/// What a list task's prompt lists: the words between ':' and "->".
std::vector<std::string> listed(const std::string& prompt) {
    const size_t begin = prompt.find(':') + 1;
    return split_words(prompt.substr(begin, prompt.find("->") - begin));
}

/// The answer to a prompt, worked out from its text alone.
std::string solve(Task task, const std::string& prompt) {
    std::string answer;
    const auto append = [&](const auto& list) {
        for (const auto& item : list) answer += concat(answer.empty() ? "" : " ", item);
    };
    if (task == Task::arithmetic) {
        const auto numbers = numbers_in(prompt);
        REQUIRE(numbers.size() == 2);
        const bool minus =
            contains(prompt, "-") || contains(prompt, "minus") || contains(prompt, "gives away");
        return std::to_string(minus ? numbers[0] - numbers[1] : numbers[0] + numbers[1]);
    }
    if (task == Task::addition) {
        const auto digits = numbers_in(prompt);  // units and tens of both
        REQUIRE(digits.size() == 4);
        const auto sum = digits[0] + 10 * digits[1] + digits[2] + 10 * digits[3];
        return concat(sum % 10, " ", sum / 10 % 10, " ", sum / 100);
    }
    if (task == Task::recall && contains(prompt, "What does ")) {
        const std::string name = split_words(prompt.substr(prompt.find("What does ") + 10))[0];
        const size_t begin = prompt.find(name + " has ") + name.size() + 5;
        return prompt.substr(begin, prompt.find('.', begin) - begin);
    }
    if (task == Task::recall) {
        std::string key = split_words(prompt).back();
        key.back() = ':';
        const std::string value = split_words(prompt.substr(prompt.find(key) + key.size()))[0];
        return value.substr(0, value.size() - 1);  // a comma or the full stop
    }
    auto words = listed(prompt);
    if (task == Task::reverse) std::reverse(words.begin(), words.end());
    if (task == Task::sort) {
        std::vector<int> numbers;
        for (const std::string& word : words) numbers.push_back(std::stoi(word));
        std::sort(numbers.begin(), numbers.end());
        append(numbers);
    } else {
        append(words);
    }
    return answer;
}

/// What a prompt is about, read off its text: two prompts about the same must lie in the same
/// split.
std::string subject(Task task, const std::string& prompt) {
    if (task == Task::arithmetic) {
        auto numbers = numbers_in(prompt);
        const bool sum = int64_t(std::stoll(solve(task, prompt))) == numbers[0] + numbers[1] &&
                         !contains(prompt, "-") && !contains(prompt, "minus") &&
                         !contains(prompt, "gives away");
        if (sum) std::sort(numbers.begin(), numbers.end());
        return concat(sum ? "+" : "-", numbers[0], " ", numbers[1]);
    }
    if (task == Task::addition) {
        const auto digits = numbers_in(prompt);
        const auto a = digits[0] + 10 * digits[1], b = digits[2] + 10 * digits[3];
        return concat(std::min(a, b), " ", std::max(a, b));
    }
    if (task == Task::recall) {
        const auto words = split_words(prompt);
        const bool things = contains(prompt, "What does ");
        return (things ? words[words.size() - 2] : words.back()) + solve(task, prompt);
    }
    auto words = listed(prompt);
    std::sort(words.begin(), words.end());
    std::string text;
    for (const std::string& word : words) text += word + " ";
    return text;
}

}  // namespace

TEST_CASE("synthetic: every answer is what its prompt asks for") {
    for (const Task task : all_tasks()) {
        if (task == Task::story) continue;
        for (const Split split : {Split::train, Split::validation}) {
            for (int64_t index = 0; index < 500; ++index) {
                const Document document = make_document(task, 1, index, split);
                CAPTURE(document.text);
                REQUIRE(document.prompt + document.answer == document.text);
                std::string answer = document.answer;
                if (answer[0] == ' ') answer.erase(0, 1);
                REQUIRE(answer == solve(task, document.prompt));
                REQUIRE(document.split == split);
                REQUIRE(document.source == name(task));
            }
        }
    }
}

TEST_CASE("synthetic: no subject is in both splits, whatever the seed and the wording") {
    for (const Task task : all_tasks()) {
        if (task == Task::story) continue;
        CAPTURE(name(task));
        std::map<std::string, Split> seen;
        for (const Split split : {Split::train, Split::validation}) {
            for (const uint64_t seed : {1, 2}) {
                for (int64_t index = 0; index < 3000; ++index) {
                    const Example example = make_example(task, seed, index, split);
                    CAPTURE(example.prompt);
                    REQUIRE(seen.emplace(subject(task, example.prompt), split).first->second ==
                            split);
                }
            }
        }
    }
}

TEST_CASE("synthetic: about one key in twenty is held out") {
    for (const Task task : all_tasks()) {
        int held_out = 0;
        for (uint64_t key = 0; key < 20000; ++key) {
            held_out += split_of_key(task, key) == Split::validation;
        }
        CHECK(held_out > 850);  // 1000 expected, standard deviation 31
        CHECK(held_out < 1150);
    }
}

TEST_CASE("synthetic: an example depends on seed, task, index and split alone") {
    for (const Task task : all_tasks()) {
        CAPTURE(name(task));
        const std::string text = make_document(task, 7, 41, Split::train).text;
        make_document(task, 7, 40, Split::train);
        CHECK(make_document(task, 7, 41, Split::train).text == text);
        std::set<std::string> others{text, make_document(task, 8, 41, Split::train).text,
                                     make_document(task, 7, 42, Split::train).text,
                                     make_document(task, 7, 41, Split::validation).text};
        CHECK(others.size() == 4);
    }
}

TEST_CASE("synthetic: the texts of a seed do not change between versions and machines") {
    CHECK(
        make_document(Task::arithmetic, 1, 0, Split::train).text ==
        "Finn has 84 cookies. He finds 24 more cookies. How many cookies does Finn have now? 108");
    CHECK(make_document(Task::recall, 1, 0, Split::train).text ==
          "glass: 91, apple: 59, sugar: 28. glass? 91");
    CHECK(make_document(Task::sort, 1, 0, Split::validation).text ==
          "sort: 74 46 80 87 64 -> 46 64 74 80 87");
}

TEST_CASE("story: whole sentences, one cast, nothing of the template left, and hardly ever twice") {
    std::set<std::string> stories;
    std::set<uint64_t> train;
    for (int64_t index = 0; index < 2000; ++index) {
        const Example story = make_example(Task::story, 3, index, Split::train);
        const std::string text = story.prompt + story.answer;
        CAPTURE(text);
        REQUIRE(text.find_first_of("[]{}|^\n") == std::string::npos);
        REQUIRE(text.find("  ") == std::string::npos);
        REQUIRE(std::isupper(uint8_t(text.front())));
        REQUIRE((text.back() == '.' || text.back() == '"'));
        REQUIRE(story.answer.front() == ' ');
        REQUIRE((story.prompt.back() == '.' || story.prompt.back() == '!'));
        REQUIRE(text.size() > 300);
        REQUIRE(text.size() < 1500);
        REQUIRE(std::count(text.begin(), text.end(), '"') % 2 == 0);
        stories.insert(text);
        train.insert(story.key);
    }
    CHECK(stories.size() > 1990);
    for (int64_t index = 0; index < 300; ++index) {
        CHECK(!train.contains(make_example(Task::story, 3, index, Split::validation).key));
    }
}

TEST_CASE("story: a template takes one branch of each bracket and every slot") {
    RandomSequence random(1);
    std::set<std::string> seen;
    for (int i = 0; i < 200; ++i) {
        seen.insert(expand("{a} [x|y [1|2]|] z", {{"a", "A"}}, random));
    }
    CHECK(seen == std::set<std::string>{"A x z", "A y 1 z", "A y 2 z", "A  z"});
}

TEST_CASE("synthetic: an unknown task is refused with the names there are") {
    CHECK(task_named("recall") == Task::recall);
    CHECK(contains(error_of([] { task_named("sums"); }), "story, arithmetic, recall"));
}

TEST_CASE("synthetic: an evaluation line holds prompt and bare answer") {
    CHECK(evaluation_line(Task::copy, {"copy: a b ->", " a b", 0}) ==
          R"({"task":"copy","prompt":"copy: a b ->","answer":"a b"})");
}
