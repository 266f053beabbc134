#include "eval/exact_match.h"

#include <doctest/doctest.h>

#include <unistd.h>

#include "core/file_map.h"
#include "infer/text_prompt.h"
#include "model/rotary_scaling.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::eval;

namespace {

std::filesystem::path written(const std::string& content) {
    const auto path =
        std::filesystem::temp_directory_path() / concat("exact_match_", ::getpid(), ".jsonl");
    write_file_atomically(path, content);
    return path;
}

struct Setting {
    Setting() : threads(2), context{threads, workspace}, tokenizer(trained()) {
        model.config = model::preset("tiny");
        model.config.initializer_range = 0.1;
        model.config.max_position_embeddings = 256;
        model.weights = model::init_weights(context, model.config, DType::f32, 3);
        model.cos_sin = model::rotary_table(model.config, 256, DType::f32);
    }
    text::Tokenizer trained() {
        const std::vector<std::string_view> documents = {"12 + 30 = 42\n",
                                                         "the fox sat on the log\n"};
        return text::train_bpe(threads, documents, {.vocab_size = 300});
    }
    ThreadPool threads;
    Workspace workspace;
    Context context;
    text::Tokenizer tokenizer;
    model::Model model;
};

}  // namespace

TEST_CASE("exact_match: items are read with their tasks, bad lines are named") {
    const auto items = read_exact_match_items(
        written("{\"prompt\":\"1+1=\",\"answer\":\" 2 "
                "\",\"task\":\"sum\"}\n\n{\"prompt\":\"a\",\"answer\":\"b\"}\n"));
    REQUIRE(items.size() == 2);
    CHECK(items[0].task == "sum");
    CHECK(items[0].answer == "2");
    CHECK(items[1].task == "all");
    CHECK_THROWS_WITH_AS(read_exact_match_items(written("{\"prompt\":\"a\"}\n")),
                         doctest::Contains(":1: 'answer' is missing"), Error);
    CHECK_THROWS_WITH_AS(
        read_exact_match_items(written("{\"prompt\":\"a\",\"answer\":\"b\"}\n[1]\n")),
        doctest::Contains(":2: not a JSON object"), Error);
    CHECK_THROWS_WITH_AS(read_exact_match_items(written("\n")), doctest::Contains("holds no items"),
                         Error);
    std::filesystem::remove(written(""));
}

TEST_CASE("exact_match: what the model writes counts as right, anything else as wrong, per task") {
    Setting s;
    // What this model does write after two prompts, by the generator itself.
    std::vector<ExactMatchItem> items;
    for (const std::string prompt : {"the fox", "12 +"}) {
        infer::Generator generator(s.context, s.model);
        infer::GenerateOptions options = infer::text_options(s.model.config, s.tokenizer);
        options.max_new_tokens = 1;
        const auto result = generator.generate(infer::prompt_ids(s.tokenizer, prompt), options);
        std::string text = s.tokenizer.decode(result.tokens);
        text.erase(0, text.find_first_not_of(' '));
        items.push_back({"right", prompt, text});
        items.push_back({"wrong", prompt, text + "x"});
    }
    size_t reported = 0;
    const auto scores = exact_match(s.context, s.model, s.tokenizer, items, 1,
                                    [&](size_t done) { reported = done; });
    REQUIRE(scores.size() == 2);
    CHECK(reported == 4);
    CHECK(scores[0].task == "right");
    CHECK(scores[0].count == 2);
    CHECK(scores[0].correct == 2);
    CHECK(scores[1].correct == 0);
}

TEST_CASE(
    "exact_match: the tokenizer's end of text ends an answer, also where config.json names none") {
    Setting s;
    REQUIRE(s.model.config.eos_token_ids == std::vector<int64_t>{1});
    s.model.config.eos_token_ids.clear();
    REQUIRE(s.tokenizer.eos_id() == 1);
    const std::string prompt = "the fox";
    const std::vector<int32_t> ids = infer::prompt_ids(s.tokenizer, prompt);
    Tensor row = Tensor::zeros({1, int64_t(ids.size()) + 1}, DType::i32);
    std::copy(ids.begin(), ids.end(), row.values<int32_t>().begin());
    model::Saved saved =
        model::allocate_saved(s.model.config, int64_t(ids.size()), DType::f32, false, model::owned);
    model::forward(s.context, s.model, model::make_batch(row), saved);
    // A head whose only row that is not zero points along the prompt's last hidden state: it says
    // "end of text".
    s.model.weights.lm_head.weight.fill_zero();
    const auto hidden = saved.normed.row<float>(int64_t(ids.size()) - 1);
    std::copy(hidden.begin(), hidden.end(), s.model.weights.lm_head.weight.row<float>(1).begin());
    const auto scores = exact_match(s.context, s.model, s.tokenizer, {{"end", prompt, ""}}, 5);
    CHECK(scores[0].correct == 1);
}

TEST_CASE("exact_match: value and standard error") {
    const ExactMatchScore score{"t", 100, 25};
    CHECK(score.value() == doctest::Approx(0.25));
    CHECK(score.standard_error() == doctest::Approx(0.0433).epsilon(0.001));
}
