#include "infer/generator.h"

namespace hadal::infer {

namespace {

Request request_of(std::span<const int32_t> prompt, const GenerateOptions& options) {
    return {.prompt = {prompt.begin(), prompt.end()},
            .max_new_tokens = options.max_new_tokens,
            .sampling = options.sampling,
            .stop_ids = options.stop_ids,
            .num_ids = options.num_ids,
            .grammar = options.grammar};
}

/// Rows of a step where nobody else waits: an expert's weights serve more tokens.
constexpr int64_t kStepTokens = 2048;

}  // namespace

Generator::Generator(Context& context, const model::Model& model)
    : context_(context), model_(model) {}

Engine& Generator::engine(const GenerateOptions& options) {
    const int64_t draft_tokens = options.draft_tokens;
    const int64_t pages = pages_for(most_positions(model_) + draft_tokens) + 1;  // one to copy from
    const EngineOptions wanted = {
        .cache_bytes = pages * cache_page_bytes(model_, options.fp8_cache),
        .max_sequences = 1,
        .max_step_tokens = kStepTokens,
        .draft_tokens = draft_tokens,
        .draft_source = options.draft_source,
        .adaptive_drafts = options.adaptive_drafts,
        .attention = options.attention,
        .fp8_cache = options.fp8_cache};
    if (engine_ == nullptr || wanted != engine_options_) {
        engine_ = std::make_unique<Engine>(context_, model_, wanted);
        engine_options_ = wanted;
    }
    return *engine_;
}

void Generator::check(std::span<const int32_t> prompt, const GenerateOptions& options) {
    engine(options).check(request_of(prompt, options));
}

GenerateResult Generator::generate(std::span<const int32_t> prompt,
                                   const GenerateOptions& options) {
    RequestResult result;
    bool finished = false;
    Request request = request_of(prompt, options);
    if (options.on_token) {
        request.on_token = [&](const GeneratedToken& token) { return options.on_token(token.id); };
    }
    request.on_finish = [&](const RequestResult& end) {
        result = end;
        finished = true;
    };
    Engine& engine = this->engine(options);
    engine.submit(std::move(request));
    while (!finished) engine.step();
    if (result.finish_reason == FinishReason::error) {
        throw Error(Error::Kind::bad_input, result.error);
    }
    return {.tokens = std::move(result.tokens),
            .finish_reason = result.finish_reason,
            .prefill_tokens = result.prompt_tokens - result.reused_tokens,
            .prefill_seconds = result.prefill_seconds,
            .decode_seconds = result.decode_seconds,
            .draft_tokens = result.draft_tokens,
            .accepted_tokens = result.accepted_tokens};
}

}  // namespace hadal::infer
