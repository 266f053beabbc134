// What tests of the engine share: a small random model, requests, and what an engine says to them.
#pragma once

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <vector>

#include "core/random.h"
#include "infer/engine.h"
#include "model/rotary_scaling.h"
#include "model/support.h"

namespace hadal::test {

using namespace infer;

inline constexpr int64_t kVocab = 24;

/// A small random model whose MTP module agrees with the main model now and then.
inline model::Model random_model(Context& context, DType dtype) {
    model::ModelConfig config = model::preset("tiny");
    config.vocab_size = kVocab;
    config.initializer_range = 0.1;
    config.max_position_embeddings = 512;
    return {config, model::init_weights(context, config, dtype, 3),
            model::rotary_table(config, 512, DType::f32)};
}

inline std::vector<int32_t> ids_of(int64_t count, uint64_t seed) {
    RandomSequence random(seed);
    std::vector<int32_t> ids;
    for (int64_t i = 0; i < count; ++i) ids.push_back(int32_t(random.below(kVocab)));
    return ids;
}

/// Collects what an engine says to a request.
struct Outcome {
    std::vector<int32_t> streamed;
    std::vector<float> logprobs;
    RequestResult result;
    int finishes = 0;
};

inline Request listening(Outcome& outcome, Request request) {
    request.on_token = [&outcome](const GeneratedToken& token) {
        outcome.streamed.push_back(token.id);
        outcome.logprobs.push_back(token.logprob);
        return true;
    };
    request.on_finish = [&outcome](const RequestResult& result) {
        outcome.result = result;
        ++outcome.finishes;
    };
    return request;
}

inline Request random_request(RandomSequence& random) {
    Request request;
    request.prompt = ids_of(int64_t(1 + random.below(90)), random.below(3));
    const auto shared = ids_of(150, 9);
    if (random.below(2) == 0) {
        request.prompt.insert(request.prompt.begin(), shared.begin(),
                              shared.begin() + int64_t(random.below(150)));
    }
    request.max_new_tokens = int64_t(1 + random.below(40));
    request.sampling.temperature = random.below(2) == 0 ? 0 : 0.9;
    request.sampling.seed = random.below(100);
    if (random.below(4) == 0) request.sampling.frequency_penalty = 0.5;
    if (random.below(3) == 0) request.stop_ids = {int32_t(random.below(kVocab))};
    if (random.below(3) == 0) request.min_new_tokens = int64_t(random.below(20));
    request.priority = int(random.below(2));
    request.logprobs = true;
    request.prompt_logprobs = random.below(4) == 0;
    return request;
}

inline EngineOptions with_pages(const model::Model& model, int64_t pages) {
    return {.cache_bytes = pages * cache_page_bytes(model), .max_sequences = 8};
}

inline Outcome alone(Context& context, const model::Model& model, const Request& request,
                     const EngineOptions& like = {}) {
    Outcome outcome;
    EngineOptions options = with_pages(model, 16);
    options.attention = like.attention;
    options.fp8_cache = like.fp8_cache;
    Engine engine(context, model, options);
    engine.submit(listening(outcome, request));
    while (engine.step()) {
    }
    return outcome;
}

/// log p of ids 1 …, as training and `score` compute it.
inline std::vector<float> scores_of(Context& context, const model::Model& model,
                                    const std::vector<int32_t>& ids) {
    Tensor rows = Tensor::zeros({1, int64_t(ids.size())}, DType::i32);
    std::ranges::copy(ids, rows.values<int32_t>().begin());
    const model::TokenBatch batch = model::make_batch(rows);
    const DType dtype = model.weights.embed_tokens.dtype();
    auto saved =
        model::allocate_saved(model.config, batch.ids.count(), dtype, false, test::owned());
    Tensor logprobs = Tensor::zeros({batch.ids.count()}, DType::f32);
    model::evaluate(context, model, batch, {}, saved, &logprobs);
    return {logprobs.values<float>().begin(), logprobs.values<float>().end()};
}

/// Requests that come, wait, share prefixes and are preempted at random: each has the bits of
/// running alone.
inline void check_random_schedules(Context& context, Context& single, const model::Model& model) {
    int64_t preemptions = 0, reused = 0, accepted = 0;
    for (uint64_t seed = 0; seed < 6; ++seed) {
        CAPTURE(seed);
        RandomSequence random(seed);
        EngineOptions options = with_pages(model, 9);  // so few that sequences are preempted
        options.max_sequences = int64_t(2 + random.below(6));
        options.max_step_tokens = int64_t(16 + random.below(80));
        options.draft_tokens = int64_t(random.below(3));
        options.adaptive_drafts = random.below(2) == 0;
        if (random.below(3) == 0) options.draft_source = DraftSource::prompt_lookup;
        options.share_prefixes = random.below(3) > 0;
        if (seed % 3 == 1) options.attention = AttentionForms::expanded;
        if (seed % 3 == 2) {
            options.fp8_cache = true;
            options.cache_bytes = 9 * cache_page_bytes(model, true);
        }
        Engine engine(context, model, options);
        std::map<RequestId, std::pair<Request, Outcome>> all;
        for (int submitted = 0; submitted < 14 || engine.step();) {
            if (submitted < 14 && random.below(3) == 0) {
                const Request request = random_request(random);
                auto& entry = all[RequestId(submitted)];
                entry.first = request;
                engine.submit(listening(entry.second, request));
                ++submitted;
            } else {
                engine.step();
            }
        }
        for (const auto& [id, entry] : all) {
            CAPTURE(id);
            const Outcome expected = alone(single, model, entry.first, options);
            const Outcome& outcome = entry.second;
            CHECK(outcome.finishes == 1);
            CHECK(outcome.result.tokens == expected.result.tokens);
            CHECK(outcome.streamed == outcome.result.tokens);
            CHECK(outcome.logprobs == expected.logprobs);
            CHECK(outcome.result.prompt_logprobs == expected.result.prompt_logprobs);
            CHECK(outcome.result.finish_reason == expected.result.finish_reason);
        }
        const EngineStats stats = engine.stats();
        preemptions += stats.preemptions;
        reused += stats.reused_tokens;
        accepted += stats.accepted_tokens;
        CHECK(stats.free_pages + stats.idle_pages == stats.pages);
    }
    CHECK(preemptions > 0);  // otherwise the test proves less than it says
    CHECK(reused > 0);
    CHECK(accepted > 0);
}

}  // namespace hadal::test
