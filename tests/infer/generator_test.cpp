#include "infer/generator.h"

#include <algorithm>

#include "core/random.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

/// A small random model whose MTP module agrees with the main model now and then: drafts are
/// accepted and rejected.
model::Model random_model(Context& context, DType dtype) {
    model::ModelConfig config = model::preset("tiny");
    config.vocab_size = 24;
    config.initializer_range = 0.1;
    config.max_position_embeddings = 256;
    return {config, model::init_weights(context, config, dtype, 3),
            model::rotary_table(config, 256, DType::f32)};
}

std::vector<int32_t> prompt_of(int64_t count, uint64_t seed) {
    RandomSequence random(seed);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(random.below(24)));
    return ids;
}

}  // namespace

TEST_CASE("generator: the golden's greedy continuation") {
    test::Machine machine;
    const auto golden =
        checkpoint::Safetensors::open(test::golden_path("decode") / "golden.safetensors");
    const model::Model model = model::load_model(test::golden_path("base"), DType::f32);
    const Tensor prompt = golden.load("prompt"), tokens = golden.load("tokens");
    for (int64_t s = 0; s < prompt.shape()[0]; ++s) {
        const auto ids = prompt.row<int64_t>(s), all = tokens.row<int64_t>(s);
        Generator generator(machine.context, model);
        const auto result = generator.generate(std::vector<int32_t>(ids.begin(), ids.end()),
                                               {.max_new_tokens = 24});
        CHECK(result.tokens == std::vector<int32_t>(all.begin() + int64_t(ids.size()), all.end()));
        CHECK(result.finish_reason == FinishReason::length);
    }
}

TEST_CASE("generator: speculation changes the speed, never the text, greedy or sampled") {
    for (const Isa isa : available_isas()) {
        for (const DType dtype : {DType::bf16, DType::f32}) {
            test::Machine machine(2, isa);
            const model::Model model = random_model(machine.context, dtype);
            for (const double temperature : {0.0, 0.8}) {
                for (const int64_t drafts : {1, 3}) {
                    CAPTURE(int(isa));
                    CAPTURE(temperature);
                    CAPTURE(drafts);
                    const auto prompt = prompt_of(11, 7);
                    GenerateOptions options{.max_new_tokens = 30,
                                            .sampling = {.temperature = temperature, .seed = 5}};
                    Generator plain(machine.context, model);
                    const auto expected = plain.generate(prompt, options);
                    options.draft_tokens = drafts;
                    Generator speculating(machine.context, model);
                    const auto result = speculating.generate(prompt, options);
                    CHECK(result.tokens == expected.tokens);
                    CHECK(result.draft_tokens > 0);
                    CHECK(result.accepted_tokens <= result.draft_tokens);
                    options.draft_source = DraftSource::prompt_lookup;
                    CHECK(speculating.generate(prompt, options).tokens == expected.tokens);
                }
            }
        }
    }
}

TEST_CASE("generator: a prompt that continues the text before gives what a fresh generator gives") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    for (const int64_t drafts : {0, 2}) {
        Generator conversation(machine.context, model);
        std::vector<int32_t> text = prompt_of(9, 1);
        for (int turn = 0; turn < 4; ++turn) {
            const GenerateOptions options{.max_new_tokens = 12, .draft_tokens = drafts};
            const auto kept = conversation.generate(text, options);
            Generator fresh(machine.context, model);
            CHECK(kept.tokens == fresh.generate(text, options).tokens);
            if (turn > 0) CHECK(kept.prefill_tokens < int64_t(text.size()));
            text.insert(text.end(), kept.tokens.begin(), kept.tokens.end());
            text.push_back(turn);
            if (turn == 2) text[5] = (text[5] + 1) % 24;  // an edited past
        }
    }
}

TEST_CASE("generator: stop ids end the text and are not part of it; a caller can stop it too") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    const auto prompt = prompt_of(6, 2);
    Generator generator(machine.context, model);
    const auto all = generator.generate(prompt, {.max_new_tokens = 20}).tokens;
    const int32_t stop = all[10];
    const size_t first = size_t(std::find(all.begin(), all.end(), stop) - all.begin());
    GenerateOptions options{.max_new_tokens = 20};
    options.stop_ids = {stop};
    const auto result = generator.generate(prompt, options);
    CHECK(result.tokens == std::vector<int32_t>(all.begin(), all.begin() + int64_t(first)));
    CHECK(result.finish_reason == FinishReason::stop);
    int64_t seen = 0;
    const auto cut = generator.generate(
        prompt, {.max_new_tokens = 20, .on_token = [&](int32_t) { return ++seen < 4; }});
    CHECK(cut.tokens.size() == 4);
}

TEST_CASE("generator: ids that the tokenizer lacks are never chosen, nor drafted") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    for (const int64_t drafts : {0, 2}) {
        Generator generator(machine.context, model);
        const auto all =
            generator.generate(prompt_of(6, 2), {.max_new_tokens = 20, .draft_tokens = drafts});
        CHECK(std::ranges::max(all.tokens) >= 5);  // so that the limit below changes something
        const auto some = generator.generate(
            prompt_of(6, 2), {.max_new_tokens = 20, .draft_tokens = drafts, .num_ids = 5});
        CHECK(std::ranges::max(some.tokens) < 5);
    }
}

TEST_CASE(
    "generator: the text ends at the longest position the model takes, with and without drafts") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    for (const int64_t drafts : {0, 3}) {
        Generator generator(machine.context, model);
        const auto result =
            generator.generate(prompt_of(250, 4), {.max_new_tokens = 100, .draft_tokens = drafts});
        CHECK(result.tokens.size() == 6);
    }
}

TEST_CASE("generator: bad input is refused with a reason") {
    test::Machine machine;
    const model::Model model = model::load_model(test::golden_path("base"), DType::f32);
    Generator generator(machine.context, model);
    CHECK_THROWS_WITH_AS(generator.generate({}, {}), doctest::Contains("holds no token"), Error);
    CHECK_THROWS_WITH_AS(generator.generate(std::vector<int32_t>{3, 200}, {}),
                         doctest::Contains("token id 200 is outside the vocabulary of 200"), Error);
    CHECK_THROWS_WITH_AS(generator.generate(std::vector<int32_t>{3}, {.draft_tokens = 1}),
                         doctest::Contains("no MTP module"), Error);
    CHECK_THROWS_WITH_AS(generator.generate(std::vector<int32_t>(5000, 3), {}),
                         doctest::Contains("the model takes 4096"), Error);
}
