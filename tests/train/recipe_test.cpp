#include "train/recipe.h"

#include <doctest/doctest.h>

#include <fstream>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/file_map.h"

using namespace hadal;
using namespace hadal::train;

namespace {

const std::string kGood =
    "[run]\nout = \"x\"\nsteps = 100\n[data]\nrandom = true\nseq_len = 64\n[model]\npreset = "
    "\"tiny\"\n";

Recipe parse(const std::string& text, const std::vector<std::string>& sets = {}) {
    return parse_recipe(text, "recipe.toml", sets);
}

struct BadRecipe {
    std::string message;
    std::string text;
};

std::vector<BadRecipe> bad_recipes() {
    std::ifstream file(HADAL_TEST_DATA "/train/bad_recipes.txt");
    std::vector<BadRecipe> cases;
    std::string line;
    while (std::getline(file, line)) {
        if (line.starts_with("#")) continue;
        if (line.starts_with("== ")) {
            cases.push_back({line.substr(3), ""});
        } else {
            REQUIRE_FALSE(cases.empty());
            cases.back().text += (line == "@" ? kGood : line + "\n");
        }
    }
    return cases;
}

/// One line for all differences.
std::string differences_text(const Recipe& now, const Recipe& before) {
    std::string text;
    for (const RecipeDifference& difference : differences(now, before)) {
        text += (text.empty() ? "" : "; ") + difference.text();
    }
    return text;
}

}  // namespace

TEST_CASE("recipe: every bad recipe is refused with what, where and how to mend it") {
    const auto cases = bad_recipes();
    CHECK(cases.size() > 30);
    for (const BadRecipe& bad : cases) {
        CAPTURE(bad.message);
        std::string message;
        try {
            parse(bad.text);
        } catch (const Error& error) {
            message = error.what();
            CHECK(error.exit_status() == 2);
        }
        CAPTURE(message);
        CHECK(message.find(bad.message) != std::string::npos);
        CHECK(message.find('\n') == std::string::npos);
    }
}

TEST_CASE("recipe: defaults are the report's, and positions follow the run's length") {
    const Recipe recipe = parse(kGood);
    CHECK(recipe.total_tokens() == 100 * 8 * 64);
    CHECK(recipe.tokens_at("50%") == 25600);
    CHECK(recipe.tokens_at("1.5K") == 1500);
    CHECK(recipe.tokens_at("10T") == 10'000'000'000'000);
    CHECK(recipe.adamw().beta2 == 0.95);
    CHECK(recipe.learning_rate_schedule().peak == 2.2e-4);
    CHECK(recipe.model.hidden_size == 96);
    CHECK(recipe.dtype() == DType::bf16);
}

TEST_CASE("recipe: --set overrides, quoted or not, and creates sections") {
    const Recipe recipe =
        parse(kGood, {"batch.sequences=16", "run.out=runs/a b", "learning_rate.peak=1e-3",
                      "data.train=[\"p\", \"q\"]", "data.random=false", "model.n_routed_experts=32",
                      "balance.bias_until=90%", "run.dtype=f32"});
    CHECK(recipe.batch.sequences == 16);
    CHECK(recipe.run.out == "runs/a b");
    CHECK(recipe.learning_rate.peak == 1e-3);
    CHECK(recipe.data.train == std::vector<std::string>{"p", "q"});
    CHECK(recipe.model.n_routed_experts == 32);
    CHECK(recipe.balance.bias_until == "90%");
    CHECK(recipe.model.dtype == DType::f32);
    CHECK_THROWS_WITH_AS(parse(kGood, {"batch"}), doctest::Contains("section.key=value"), Error);
    CHECK_THROWS_WITH_AS(parse(kGood, {"batch.sequencse=3"}),
                         doctest::Contains("did you mean 'batch.sequences'"), Error);
    CHECK_THROWS_AS(parse(kGood, {"run.steps=1\n[x]"}), Error);
}

TEST_CASE("recipe: the resolved text is the same recipe") {
    const Recipe recipe =
        parse(kGood, {"learning_rate.peak=0.00123456789", "run.out=a \"quoted\" \\ name",
                      "data.train=[\"a\"]", "data.random=false", "data.weights=[0.1]",
                      "model.rope_scaling={type = \"yarn\", factor = 4.0, "
                      "original_max_position_embeddings = 64}"});
    const std::string text = recipe_text(recipe);
    const Recipe again = parse(text);
    CHECK(recipe_text(again) == text);
    CHECK(differences_text(again, recipe) == "");
    CHECK(again.run.out == recipe.run.out);
    CHECK(again.learning_rate.peak == recipe.learning_rate.peak);
    REQUIRE(again.model.rope_scaling.has_value());
    CHECK(again.model.rope_scaling->factor == 4);
}

TEST_CASE("recipe: what a resumed run must keep is named, what it may change is not") {
    const Recipe before = parse(kGood);
    CHECK(differences_text(parse(kGood, {"run.steps=200", "run.out=y", "snapshot.every=7"}),
                           before) == "");
    CHECK(differences_text(parse(kGood, {"optimizer.beta2=0.99"}), before) ==
          "optimizer.beta2 is 0.99, was 0.95");
    CHECK(differences_text(parse(kGood, {"model.kv_lora_rank=16"}), before) ==
          "model.kv_lora_rank is 16, was 32");
    CHECK(differences_text(
              parse(kGood, {"model.kv_lora_rank=16", "optimizer.beta2=0.99", "run.seed=9"}),
              before) ==
          "run.seed is 9, was 0; optimizer.beta2 is 0.99, was 0.95; model.kv_lora_rank is 16, was "
          "32");
}

TEST_CASE("recipe: the recipes of this project parse") {
    const std::filesystem::path recipes = HADAL_TEST_DATA "/../recipes";
    for (const std::filesystem::path& folder : {recipes, recipes / "v3_671b"}) {
        for (const auto& entry : std::filesystem::directory_iterator(folder)) {
            CAPTURE(entry.path().string());
            if (entry.is_regular_file()) CHECK_NOTHROW(read_recipe(entry.path(), {}));
        }
    }
}
