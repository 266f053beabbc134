// What is asked of the engine, and what comes back.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/token_mask.h"
#include "infer/sampler.h"

namespace hadal::infer {

using RequestId = uint64_t;

enum class FinishReason {
    stop,       // a stop id, or the handler wanted no more
    length,     // max_new_tokens, or the end of the model's context
    cancelled,  // by Engine::cancel
    error       // RequestResult::error says which
};
std::string_view name(FinishReason reason);

struct GeneratedToken {
    int32_t id;
    float logprob = 0;                       // if Request::logprobs
    std::span<const TokenLogprob> top = {};  // the most probable ones, falling
};

struct RequestResult {
    std::vector<int32_t> tokens;  // without the stop id
    FinishReason finish_reason = FinishReason::length;
    std::string error;
    std::vector<float> prompt_logprobs;  // if asked for: of the prompt's second token and on
    std::vector<std::vector<TokenLogprob>> prompt_top;  // and the most probable ones there
    int64_t prompt_tokens = 0;
    int64_t reused_tokens = 0;    // of the prompt, found in the cache
    int64_t draft_tokens = 0;     // proposed
    int64_t accepted_tokens = 0;  // of them accepted
    int64_t preemptions = 0;
    double queue_seconds = 0;    // from submission to the first step
    double prefill_seconds = 0;  // from there to the first token
    double decode_seconds = 0;   // from there to the last
};

struct Request {
    std::vector<int32_t> prompt;
    int64_t max_new_tokens = 128;
    int64_t min_new_tokens = 0;  // before them no stop id is chosen; a finished grammar still ends
    SamplingOptions sampling = {};
    std::vector<int32_t> stop_ids = {};
    int64_t num_ids = 0;           // ids below this are chosen; 0: all of the head's
    bool logprobs = false;         // of every token
    int64_t top_logprobs = 0;      // and of so many most probable ones
    bool prompt_logprobs = false;  // of the prompt's tokens too, which then are all computed
    /// What the text may be, over the tokenizer's vocabulary; shared by requests that want the
    /// same. Where it may end, the stop ids are allowed; where it must, the text is finished.
    std::shared_ptr<grammar::TokenMasks> grammar = {};
    /// The grammar begins behind the first token of this id, which ends what a model thinks; before
    /// it everything is allowed.
    std::optional<int32_t> grammar_after = {};
    bool speculate = true;  // where the engine does
    int priority = 0;       // higher runs first
    uint64_t domain = 0;    // prefixes are shared within a domain only (tenants)

    /// Called with every new token; false ends the text after it. A stop id is not passed on.
    std::function<bool(const GeneratedToken&)> on_token = {};
    /// Called once, last.
    std::function<void(const RequestResult&)> on_finish = {};
};

}  // namespace hadal::infer
