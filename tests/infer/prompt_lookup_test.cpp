#include "infer/prompt_lookup.h"

#include <doctest/doctest.h>

using namespace hadal::infer;

TEST_CASE("prompt lookup: guesses what followed the last three tokens the time before") {
    PromptLookup lookup;
    const std::vector<int32_t> tokens = {1, 2, 3, 4, 5, 9, 1, 2, 3};
    CHECK(lookup.guess(tokens, 2) == std::vector<int32_t>{4, 5});
    CHECK(lookup.guess(tokens, 100) == std::vector<int32_t>{4, 5, 9, 1, 2, 3});
}

TEST_CASE("prompt lookup: the latest earlier place counts, and new tokens are entered") {
    PromptLookup lookup;
    std::vector<int32_t> tokens = {1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3};
    CHECK(lookup.guess(tokens, 1) == std::vector<int32_t>{5});
    tokens.insert(tokens.end(), {6, 7, 1, 2, 3});
    CHECK(lookup.guess(tokens, 2) == std::vector<int32_t>{6, 7});
}

TEST_CASE("prompt lookup: guesses nothing where nothing is known") {
    PromptLookup lookup;
    CHECK(lookup.guess(std::vector<int32_t>{}, 3).empty());
    CHECK(lookup.guess(std::vector<int32_t>{1, 2}, 3).empty());
    CHECK(lookup.guess(std::vector<int32_t>{1, 2, 3}, 3).empty());
    CHECK(lookup.guess(std::vector<int32_t>{1, 2, 3, 4}, 3).empty());
}
