#include "infer/text_prompt.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "model/rotary_scaling.h"
#include "model/support.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

text::Tokenizer tokenizer_with(bool add_bos) {
    ThreadPool threads(1);
    const std::vector<std::string_view> texts = {"one two three two one"};
    text::TokenizerContent content = text::train_bpe(threads, texts, {.vocab_size = 300}).content();
    content.add_bos = add_bos;
    return text::Tokenizer(std::move(content));
}

}  // namespace

TEST_CASE("text prompt: BOS stands in front exactly where the tokenizer asks for it") {
    const text::Tokenizer with = tokenizer_with(true), without = tokenizer_with(false);
    const std::vector<int32_t> ids = without.encode("one two");
    CHECK(prompt_ids(without, "one two") == ids);
    std::vector<int32_t> led = {with.bos_id().value()};
    CHECK(prompt_ids(with, "") == led);
    led.insert(led.end(), ids.begin(), ids.end());
    CHECK(prompt_ids(with, "one two") == led);
}

TEST_CASE("text prompt: control tokens that a text spells are read only on request") {
    const text::Tokenizer tokenizer = tokenizer_with(false);
    const int32_t eos = tokenizer.eos_id().value();
    const std::string text(tokenizer.token_bytes(eos));
    CHECK(prompt_ids(tokenizer, text, true) == std::vector<int32_t>{eos});
    CHECK(prompt_ids(tokenizer, text).size() > 1);
}

TEST_CASE("text prompt: generation ends at the ids of both files, each once") {
    const text::Tokenizer tokenizer = tokenizer_with(true);
    const int32_t eos = tokenizer.eos_id().value();
    model::ModelConfig config = model::preset("tiny");
    config.eos_token_ids = {eos, 17};
    CHECK(text_options(config, tokenizer).stop_ids == std::vector<int32_t>{eos, 17});
    config.eos_token_ids = {17};
    CHECK(text_options(config, tokenizer).stop_ids == std::vector<int32_t>{17, eos});
    config.eos_token_ids = {};
    CHECK(text_options(config, tokenizer).stop_ids == std::vector<int32_t>{eos});
}

TEST_CASE("text prompt: ids beyond the tokenizer's are never chosen") {
    test::Machine machine;
    const text::Tokenizer tokenizer = tokenizer_with(true);
    model::ModelConfig config = model::preset("tiny");
    config.vocab_size = tokenizer.vocab_size() + 40;
    model::Model model{config, model::init_weights(machine.context, config, DType::f32, 3),
                       model::rotary_table(config, 64, DType::f32)};
    // The padding's rows of the head are the largest by far.
    auto head = model.weights.lm_head.weight.values<float>();
    for (size_t i = size_t(tokenizer.vocab_size() * config.hidden_size); i < head.size(); ++i)
        head[i] *= 100;
    Generator generator(machine.context, model);
    const std::vector<int32_t> prompt = prompt_ids(tokenizer, "one two three");
    GenerateOptions options = text_options(config, tokenizer);
    options.stop_ids.clear();
    options.max_new_tokens = 20;
    for (const int32_t id : generator.generate(prompt, options).tokens)
        CHECK(id < tokenizer.vocab_size());
    options.num_ids = 0;
    const auto all = generator.generate(prompt, options).tokens;
    CHECK(std::ranges::any_of(all, [&](int32_t id) { return id >= tokenizer.vocab_size(); }));
}

TEST_CASE("text prompt: grammars see every token's bytes, and no special token") {
    const text::Tokenizer tokenizer = tokenizer_with(true);
    const auto vocabulary = grammar_vocabulary(tokenizer);
    REQUIRE(vocabulary->size() == tokenizer.vocab_size());
    CHECK(vocabulary->bytes(tokenizer.eos_id().value()).empty());
    for (const int32_t id : tokenizer.encode("one two")) {
        CHECK(vocabulary->bytes(id) == tokenizer.token_bytes(id));
    }
}
