#include "core/nearest_name.h"

#include <doctest/doctest.h>

#include <vector>

using namespace hadal;

namespace {

const std::vector<std::string> kKnown = {"layers", "heads", "hidden_size", "learning_rate"};

}  // namespace

TEST_CASE("nearest name: one slip of a finger is mended") {
    for (const char* name : {"layer", "layerss", "laqers", "alyers", "ayers"}) {
        CAPTURE(name);
        CHECK(nearest_name(name, kKnown) == "layers");
    }
    CHECK(nearest_name("lerning_rate", kKnown) == "learning_rate");
    CHECK(nearest_name("hiddensize", kKnown) == "hidden_size");
}

TEST_CASE("nearest name: nothing is suggested where nothing is near") {
    CHECK(nearest_name("banana", kKnown).empty());
    CHECK(nearest_name("x", kKnown).empty());
    CHECK(nearest_name("layers", {}).empty());
    CHECK(did_you_mean("banana", kKnown).empty());
}

TEST_CASE("nearest name: a suggestion is worded as a question") {
    CHECK(did_you_mean("layerz", kKnown) == ", did you mean 'layers'?");
}

TEST_CASE("nearest name: of two the one with fewer slips") {
    const std::vector<std::string> known = {"tokenizers", "tokenize"};
    CHECK(nearest_name("tokenizer", std::vector<std::string>{"tokenizers", "tokens"}) ==
          "tokenizers");
    CHECK(nearest_name("tokeniz", known) == "tokenize");
}
