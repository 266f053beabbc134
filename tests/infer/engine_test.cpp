#include "infer/engine.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <map>
#include <regex>
#include <thread>

#include "core/random.h"
#include "grammar/ebnf.h"
#include "infer/engine_support.h"
#include "infer/generator.h"
#include "model/rotary_scaling.h"

using namespace hadal;
using namespace hadal::infer;
using namespace hadal::test;

TEST_CASE("engine: a request's text and log-probabilities have the bits of running alone") {
    for (const Isa isa : {best_isa(), Isa::portable}) {
        CAPTURE(name(isa));
        test::Machine machine(3, isa), single(1, isa);
        check_random_schedules(machine.context, single.context,
                               random_model(machine.context, DType::bf16));
    }
}

TEST_CASE("engine: log-probabilities are those that scoring gives, of all ids that can follow") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    Request request{.prompt = ids_of(20, 1), .max_new_tokens = 5};
    request.logprobs = true;
    request.prompt_logprobs = true;
    request.top_logprobs = kVocab;
    RequestResult result;
    request.on_finish = [&](const RequestResult& end) { result = end; };
    std::vector<std::vector<TokenLogprob>> tops;
    std::vector<GeneratedToken> tokens;
    request.on_token = [&](const GeneratedToken& token) {
        tops.emplace_back(token.top.begin(), token.top.end());
        tokens.push_back(token);
        return true;
    };
    Engine engine(machine.context, model, with_pages(model, 4));
    engine.submit(request);
    while (engine.step()) {
    }
    REQUIRE(tokens.size() == 5);
    std::vector<int32_t> ids = request.prompt;
    for (const GeneratedToken& token : tokens) ids.push_back(token.id);
    const std::vector<float> scores = scores_of(machine.context, model, ids);
    REQUIRE(result.prompt_logprobs.size() == 19);
    REQUIRE(result.prompt_top.size() == 19);
    for (size_t i = 0; i < 19; ++i) {
        CHECK(std::abs(result.prompt_logprobs[i] - scores[i]) < 1e-4);
        CHECK(std::ranges::any_of(result.prompt_top[i], [&](const TokenLogprob& entry) {
            return entry.id == request.prompt[i + 1] && entry.logprob == result.prompt_logprobs[i];
        }));
    }
    for (size_t i = 0; i < tokens.size(); ++i) {
        // Scoring attends in expanded form, this engine in absorbed form: equal to rounding.
        CHECK(std::abs(tokens[i].logprob - scores[19 + i]) < 1e-4);
        double total = 0;
        for (const TokenLogprob& entry : tops[i]) total += std::exp(double(entry.logprob));
        CHECK(std::abs(total - 1) < 1e-5);
        CHECK(tops[i][0].id == tokens[i].id);  // greedy
        CHECK(tops[i][0].logprob == tokens[i].logprob);
    }
}

TEST_CASE(
    "engine: in expanded form a rollout's log-probabilities are those of scoring, bit for bit, "
    "however it was scheduled") {
    for (const Isa isa : {best_isa(), Isa::portable}) {
        CAPTURE(name(isa));
        test::Machine machine(3, isa), trainer(2, isa);
        const model::Model model = random_model(machine.context, DType::bf16);
        for (const int64_t step_tokens : {17, 64, 512}) {
            for (const int64_t drafts : {0, 2}) {
                CAPTURE(step_tokens);
                CAPTURE(drafts);
                EngineOptions options = with_pages(model, 30);
                options.attention = AttentionForms::expanded;
                options.max_step_tokens = step_tokens;
                options.draft_tokens = drafts;
                options.adaptive_drafts = false;
                Engine engine(machine.context, model, options);
                std::vector<Request> requests;
                for (const int64_t length : {1, 3, 64, 129, 200}) {
                    Request request{.prompt = ids_of(length, 1), .max_new_tokens = 24};
                    request.sampling.temperature = length % 2 == 0 ? 0 : 1;
                    request.logprobs = true;
                    request.prompt_logprobs = length == 129;
                    requests.push_back(request);
                }
                std::vector<Outcome> outcomes(requests.size());
                for (size_t i = 0; i < requests.size(); ++i) {
                    engine.submit(listening(outcomes[i], requests[i]));
                }
                while (engine.step()) {
                }
                for (size_t i = 0; i < requests.size(); ++i) {
                    CAPTURE(i);
                    std::vector<int32_t> ids = requests[i].prompt;
                    const auto& generated = outcomes[i].result.tokens;
                    ids.insert(ids.end(), generated.begin(), generated.end());
                    const auto scores = scores_of(trainer.context, model, ids);
                    const auto split = scores.end() - int64_t(generated.size());
                    CHECK(outcomes[i].logprobs == std::vector<float>(split, scores.end()));
                    if (!requests[i].prompt_logprobs) continue;
                    CHECK(outcomes[i].result.prompt_logprobs ==
                          std::vector<float>(scores.begin(), split));
                }
                CHECK((engine.stats().accepted_tokens > 0) == (drafts > 0));
            }
        }
    }
}

TEST_CASE("engine: a long prompt's form of attention depends on the prompt alone") {
    CHECK(expanded_positions(AttentionForms::absorbed, 10000) == 0);
    CHECK(expanded_positions(AttentionForms::long_prompts, 2047) == 0);
    CHECK(expanded_positions(AttentionForms::long_prompts, 2049) == 1536);  // two rows are left
    CHECK(expanded_positions(AttentionForms::long_prompts, 2050) == 2048);
    CHECK(expanded_positions(AttentionForms::expanded, 1) > 100000);
    test::Machine machine(3), single(1);
    model::Model model = random_model(machine.context, DType::bf16);
    model.config.max_position_embeddings = 4096;
    model.cos_sin = model::rotary_table(model.config, 4096, DType::f32);
    std::vector<Request> requests;
    for (const auto& [length, seed] : {std::pair(2300, 1), {2047, 1}, {2300, 1}, {2600, 1}}) {
        Request request{.prompt = ids_of(length, uint64_t(seed)), .max_new_tokens = 20};
        request.logprobs = true;
        requests.push_back(request);
    }
    const auto run = [&](Context& context, EngineOptions options, int steps_between) {
        options.attention = AttentionForms::long_prompts;
        std::vector<Outcome> outcomes(requests.size());
        Engine engine(context, model, options);
        for (size_t i = 0; i < requests.size(); ++i) {
            Request request = listening(outcomes[i], requests[i]);
            if (!options.share_prefixes) request.priority = int(i);
            engine.submit(request);
            for (int step = 0; step < steps_between; ++step) engine.step();
        }
        while (engine.step()) {
        }
        return std::pair(std::move(outcomes), engine.stats());
    };
    EngineOptions plain = with_pages(model, 300);
    plain.share_prefixes = false;
    const auto expected = run(single.context, plain, 100).first;
    EngineOptions crowded = with_pages(model, 50);  // each preempts the one before as it generates
    crowded.max_step_tokens = 300;
    crowded.draft_tokens = 1;
    crowded.share_prefixes = false;
    EngineOptions sharing = with_pages(model, 120);
    sharing.max_step_tokens = 777;
    for (const EngineOptions& options : {crowded, sharing}) {
        const auto [outcomes, stats] =
            run(machine.context, options, options.share_prefixes ? 0 : 12);
        for (size_t i = 0; i < requests.size(); ++i) {
            CAPTURE(i);
            CHECK(outcomes[i].streamed == expected[i].streamed);
            CHECK(outcomes[i].logprobs == expected[i].logprobs);
        }
        CHECK((stats.preemptions > 0) == !options.share_prefixes);
        // The second request's pages are of the other form; the third has all whole pages of the
        // first, the fourth those that are expanded in both.
        CHECK(stats.reused_tokens == (options.share_prefixes ? 2240 + 2048 : 0));
    }
}

TEST_CASE(
    "engine: a cache in FP8 takes half the memory and changes the text's probability little") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    const auto& config = model.config;
    CHECK(cache_page_bytes(model, true) ==
          64 * (config.kv_lora_rank + 4 + 2 * config.qk_rope_head_dim) *
              (config.num_hidden_layers + config.num_nextn_predict_layers));
    model::ModelConfig v3 = model::preset("v3-671b");
    CHECK(model::latent_bytes(v3, DType::bf16) == 1152);
    CHECK(model::latent_bytes(v3, DType::f8_e4m3) == 644);
    Request request{.prompt = ids_of(300, 4), .max_new_tokens = 1};
    request.prompt_logprobs = true;
    const auto plain = alone(machine.context, model, request).result.prompt_logprobs;
    const auto coded =
        alone(machine.context, model, request, {.fp8_cache = true}).result.prompt_logprobs;
    REQUIRE(coded.size() == plain.size());
    // Random weights choose other experts at the slightest change, so single tokens may move a lot.
    double change = 0;
    for (size_t i = 0; i < plain.size(); ++i) {
        change += std::abs(double(coded[i] - plain[i])) / double(plain.size());
    }
    CHECK(change > 0);  // it is another cache
    CHECK(change < 0.25);
    EngineOptions both = {.attention = AttentionForms::expanded, .fp8_cache = true};
    CHECK_THROWS_WITH_AS(Engine(machine.context, model, both), doctest::Contains("bits of score"),
                         Error);
    const model::Model wide = random_model(machine.context, DType::f32);
    CHECK_THROWS_WITH_AS(Engine(machine.context, wide, {.fp8_cache = true}),
                         doctest::Contains("bf16"), Error);
}

TEST_CASE("engine: one prompt asked for many times is computed once") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    Engine engine(machine.context, model, with_pages(model, 40));
    std::vector<Outcome> outcomes(6);
    for (Outcome& outcome : outcomes) {
        Request request{.prompt = ids_of(256, 1), .max_new_tokens = 4};
        engine.submit(listening(outcome, request));
    }
    while (engine.step()) {
    }
    for (const Outcome& outcome : outcomes) CHECK(outcome.streamed == outcomes[0].streamed);
    CHECK(engine.stats().step_tokens == 256 + 5 + 6 * 3);
    CHECK(engine.stats().reused_tokens == 5 * 256);
}

TEST_CASE("engine: cancelling ends a request at its next step and gives its pages back") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    EngineOptions options = with_pages(model, 16);
    options.share_prefixes = false;
    Engine engine(machine.context, model, options);
    Outcome kept, cancelled, never_started;
    engine.submit(listening(kept, {.prompt = ids_of(9, 1), .max_new_tokens = 20}));
    const RequestId id =
        engine.submit(listening(cancelled, {.prompt = ids_of(9, 2), .max_new_tokens = 200}));
    for (int i = 0; i < 5; ++i) engine.step();
    const RequestId waiting =
        engine.submit(listening(never_started, {.prompt = ids_of(9, 3), .max_new_tokens = 9}));
    engine.cancel(id);
    engine.cancel(waiting);
    engine.cancel(12345);
    engine.step();
    CHECK(cancelled.finishes == 1);
    CHECK(cancelled.result.finish_reason == FinishReason::cancelled);
    CHECK(cancelled.streamed.size() == 5);
    CHECK(never_started.finishes == 1);
    CHECK(never_started.streamed.empty());
    while (engine.step()) {
    }
    CHECK(kept.result.tokens.size() == 20);
    CHECK(engine.stats().free_pages == 16);
}

TEST_CASE("engine: handlers may submit and cancel; one that throws ends its own request only") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    Engine engine(machine.context, model, with_pages(model, 16));
    Outcome first, second, broken;
    Request request = listening(first, {.prompt = ids_of(9, 1), .max_new_tokens = 4});
    request.on_finish = [&](const RequestResult& result) {
        first.result = result;
        engine.submit(listening(second, {.prompt = ids_of(9, 1), .max_new_tokens = 6}));
    };
    engine.submit(request);
    Request thrower = listening(broken, {.prompt = ids_of(9, 2), .max_new_tokens = 4});
    thrower.on_token = [](const GeneratedToken&) -> bool {
        throw std::runtime_error("pipe closed");
    };
    engine.submit(thrower);
    while (engine.step()) {
    }
    CHECK(broken.result.finish_reason == FinishReason::error);
    CHECK(broken.result.error == "pipe closed");
    REQUIRE(second.result.tokens.size() == 6);
    CHECK(std::equal(first.result.tokens.begin(), first.result.tokens.end(),
                     second.result.tokens.begin()));
}

TEST_CASE("engine: weights that give no numbers end the request with an error, not the engine") {
    test::Machine machine;
    model::Model model = random_model(machine.context, DType::f32);
    const int32_t poisoned = 7;
    model.weights.embed_tokens.row<float>(poisoned)[0] = NAN;
    Engine engine(machine.context, model, with_pages(model, 16));
    Outcome bad, good;
    engine.submit(listening(bad, {.prompt = {1, 2, poisoned}, .max_new_tokens = 4}));
    Request clean = listening(good, {.prompt = {1, 2, 3}, .max_new_tokens = 4});
    clean.sampling.logit_bias = {{poisoned, -100}};
    engine.submit(clean);
    while (engine.step()) {
    }
    CHECK(bad.result.finish_reason == FinishReason::error);
    CHECK(bad.result.error.find("not a number") != std::string::npos);
    CHECK(good.result.tokens.size() == 4);
}

TEST_CASE("engine: other threads submit and cancel while it runs") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    Engine engine(machine.context, model, with_pages(model, 32));
    constexpr int kThreads = 3, kEach = 8;
    std::atomic<int> finished = 0;
    std::vector<std::thread> clients;
    for (int t = 0; t < kThreads; ++t) {
        clients.emplace_back([&, t] {
            for (int i = 0; i < kEach; ++i) {
                Request request{.prompt = ids_of(5 + i, uint64_t(t)), .max_new_tokens = 12};
                request.on_finish = [&](const RequestResult&) { ++finished; };
                const RequestId id = engine.submit(request);
                if (i % 3 == 0) engine.cancel(id);
            }
        });
    }
    while (finished < kThreads * kEach) {
        if (engine.wait(std::chrono::milliseconds(20))) engine.step();
    }
    for (std::thread& client : clients) client.join();
    CHECK_FALSE(engine.step());
}

TEST_CASE("engine: impossible requests and options are refused with a reason") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    Engine engine(machine.context, model, with_pages(model, 2));
    const auto refused = [&](Request request, const char* reason) {
        CHECK_THROWS_WITH_AS(engine.submit(std::move(request)), doctest::Contains(reason), Error);
    };
    refused({.prompt = {}}, "holds no token");
    refused({.prompt = {1, kVocab}}, "outside the vocabulary");
    refused({.prompt = ids_of(512, 1)}, "the model takes 512");
    refused({.prompt = ids_of(100, 1), .max_new_tokens = 100}, "do not fit the cache of 128");
    Request hot{.prompt = {1}};
    hot.sampling.temperature = -1;
    refused(hot, "--temperature");
    CHECK_FALSE(engine.step());
    CHECK_THROWS_WITH_AS(Engine(machine.context, model, {.cache_bytes = 10}),
                         doctest::Contains("holds no page"), Error);
    model::Model without = model;
    without.config.num_nextn_predict_layers = 0;
    CHECK_THROWS_WITH_AS(Engine(machine.context, without, {.draft_tokens = 1}),
                         doctest::Contains("no MTP module"), Error);
}

TEST_CASE("engine: a grammar decides what the text may be, drafted or not, in any company") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    std::vector<std::string> tokens;
    for (int64_t id = 0; id < kVocab; ++id) tokens.push_back(std::string(1, char('a' + id)));
    tokens[20] = "";    // control tokens; 20 ends a text
    tokens[21] = "bc";  // begins like another
    const auto vocabulary = std::make_shared<const grammar::Vocabulary>(tokens);
    const auto masks = std::make_shared<grammar::TokenMasks>(
        vocabulary,
        grammar::compile(grammar::parse_ebnf("root ::= \"a\" (\"bc\" | [d-h]){3,9} \"x\"?")));
    const std::regex allowed("a(bc|[d-h]){3,9}x?");
    const auto text_of = [&](const std::vector<int32_t>& ids) {
        std::string text;
        for (const int32_t id : ids) text += tokens[size_t(id)];
        return text;
    };
    std::vector<std::string> expected;
    for (const int64_t drafts : {0, 2}) {
        EngineOptions options = with_pages(model, 30);
        options.draft_tokens = drafts;
        Engine engine(machine.context, model, options);
        std::vector<Outcome> outcomes(12);
        for (size_t i = 0; i < outcomes.size(); ++i) {
            Request request{.prompt = ids_of(5, i), .max_new_tokens = 40};
            request.grammar = masks;
            request.stop_ids = {20};
            request.sampling.temperature = i % 2 == 0 ? 0 : 1;
            request.sampling.seed = i;
            engine.submit(listening(outcomes[i], request));
        }
        while (engine.step()) {
        }
        for (size_t i = 0; i < outcomes.size(); ++i) {
            const std::string text = text_of(outcomes[i].result.tokens);
            CAPTURE(text);
            CHECK(std::regex_match(text, allowed));
            CHECK(outcomes[i].result.finish_reason == FinishReason::stop);
            if (drafts == 0) expected.push_back(text);
            CHECK(text == expected[i]);
        }
    }
    CHECK(std::ranges::any_of(expected, [](const std::string& s) { return s.ends_with("x"); }));
    CHECK(std::ranges::any_of(expected, [](const std::string& s) { return !s.ends_with("x"); }));
}

TEST_CASE(
    "engine: no stop id before the fewest tokens wanted, and the text is as if it were not one") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    for (const double temperature : {0.0, 1.0}) {
        Request request{.prompt = ids_of(5, 1), .max_new_tokens = 30};
        request.sampling.temperature = temperature;
        // Every id but these two stops, so that a text without a least length is empty or short.
        for (int32_t id = 2; id < kVocab; ++id) request.stop_ids.push_back(id);
        CHECK(alone(machine.context, model, request).result.tokens.size() < 7);
        for (const int64_t least : {7, 30, 100}) {
            CAPTURE(least);
            request.min_new_tokens = least;
            const auto result = alone(machine.context, model, request).result;
            CHECK(int64_t(result.tokens.size()) >= std::min<int64_t>(least, 30));
            CHECK(std::ranges::all_of(result.tokens, [](int32_t id) { return id < 2; }));
        }
        // Where nothing else is left, a stop is a stop.
        request.stop_ids.push_back(0);
        request.stop_ids.push_back(1);
        CHECK(alone(machine.context, model, request).result.tokens.empty());
    }
}

TEST_CASE("engine: a grammar that no token can continue ends its request with an error") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    const std::vector<std::string> tokens(size_t(kVocab), "a");
    Request request{.prompt = {1, 2}, .max_new_tokens = 9};
    request.grammar = std::make_shared<grammar::TokenMasks>(
        std::make_shared<const grammar::Vocabulary>(tokens),
        grammar::compile(grammar::parse_ebnf("root ::= \"aab\"")));
    Outcome outcome;
    Engine engine(machine.context, model, with_pages(model, 4));
    engine.submit(listening(outcome, request));
    while (engine.step()) {
    }
    CHECK(outcome.streamed.size() == 2);
    CHECK(outcome.result.finish_reason == FinishReason::error);
    CHECK(outcome.result.error.find("no token") != std::string::npos);
}

TEST_CASE("engine: a text that repeats itself is guessed from itself") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::bf16);
    EngineOptions options = with_pages(model, 16);
    options.draft_tokens = 3;
    options.draft_source = DraftSource::prompt_lookup;
    options.adaptive_drafts = false;
    Outcome outcome;
    Engine engine(machine.context, model, options);
    std::vector<std::string> tokens;
    for (int64_t id = 0; id < kVocab; ++id) tokens.push_back(std::string(1, char('a' + id)));
    Request request{.prompt = ids_of(9, 1), .max_new_tokens = 120};
    request.grammar = std::make_shared<grammar::TokenMasks>(
        std::make_shared<const grammar::Vocabulary>(tokens),
        grammar::compile(grammar::parse_ebnf("root ::= \"abcdefg\" root")));  // in circles
    engine.submit(listening(outcome, request));
    while (engine.step()) {
    }
    CHECK(outcome.result.tokens.size() == 120);
    CHECK(outcome.result.accepted_tokens > 75);
    CHECK(engine.stats().steps < 45);
}

TEST_CASE("engine: the load of the experts counts every row's choices once") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    Engine engine(machine.context, model, with_pages(model, 16));
    engine.submit({.prompt = ids_of(20, 1), .max_new_tokens = 5});
    while (engine.step()) {
    }
    const auto& config = model.config;
    const auto& load = engine.expert_load();
    REQUIRE(load.size() == size_t(config.num_hidden_layers - config.first_k_dense_replace));
    for (const auto& layer : load) {
        CHECK(layer.size() == size_t(config.n_routed_experts));
        int64_t rows = 0;
        for (const int64_t count : layer) rows += count;
        CHECK(rows == engine.stats().step_tokens * config.num_experts_per_tok);
    }
}

TEST_CASE("engine: a grammar that begins behind a token lets everything come before it") {
    test::Machine machine;
    const model::Model model = random_model(machine.context, DType::f32);
    std::vector<std::string> tokens;
    for (int32_t id = 0; id < kVocab; ++id) tokens.push_back(std::string(1, char('a' + id)));
    const auto masks = [&] {
        return std::make_shared<grammar::TokenMasks>(
            std::make_shared<const grammar::Vocabulary>(tokens),
            grammar::compile(grammar::parse_ebnf("root ::= \"bab\"")));
    };
    Request free{.prompt = ids_of(20, 1), .max_new_tokens = 30};
    free.sampling = {.temperature = 1, .seed = 7};
    const std::vector<int32_t> plain = alone(machine.context, model, free).result.tokens;
    for (const int64_t drafts : {0, 2}) {
        CAPTURE(drafts);
        Request request = free;
        request.grammar = masks();
        request.grammar_after = plain[4];
        const auto first = std::ranges::find(plain, plain[4]) - plain.begin();
        EngineOptions options = with_pages(model, 16);
        options.draft_tokens = drafts;
        Outcome outcome;
        Engine engine(machine.context, model, options);
        engine.submit(listening(outcome, request));
        while (engine.step()) {
        }
        std::vector<int32_t> expected(plain.begin(), plain.begin() + first + 1);
        expected.insert(expected.end(), {1, 0, 1});
        CHECK(outcome.result.tokens == expected);
        CHECK(outcome.result.finish_reason == FinishReason::stop);
    }
}
