// One text after another, for programs that have a single user: an engine with one request at a
// time.
#pragma once

#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "core/context.h"
#include "infer/engine.h"
#include "infer/sampler.h"
#include "model/transformer.h"

namespace hadal::infer {

struct GenerateOptions {
    int64_t max_new_tokens = 128;
    SamplingOptions sampling = {};
    int64_t draft_tokens = 0;  // per step at most; 0: no speculation
    DraftSource draft_source = DraftSource::mtp;
    bool adaptive_drafts = true;  // fewer guesses, or none, where they do not pay
    AttentionForms attention = AttentionForms::absorbed;
    bool fp8_cache = false;
    /// Ids below this are chosen; 0: all. A head is often padded beyond the tokenizer's ids.
    int64_t num_ids = 0;
    std::vector<int32_t> stop_ids = {};
    std::shared_ptr<grammar::TokenMasks> grammar = {};  // see Request
    /// Called with every new token; false stops. A stop id is not passed on.
    std::function<bool(int32_t)> on_token = {};
};

struct GenerateResult {
    std::vector<int32_t> tokens;  // without the stop id
    FinishReason finish_reason = FinishReason::length;
    int64_t prefill_tokens = 0;  // computed; those found in the cache are not
    double prefill_seconds = 0;
    double decode_seconds = 0;
    int64_t draft_tokens = 0;     // proposed
    int64_t accepted_tokens = 0;  // of them accepted
};

/// Keeps its cache, so that a prompt that begins like a text before (a conversation) is not
/// computed again. The cache has room for one text as long as the model takes.
class Generator {
  public:
    /// The context and the model must outlive the generator.
    Generator(Context& context, const model::Model& model);

    /// Continues `prompt`. Error(bad_input) for an empty prompt, an id outside the vocabulary, or a
    /// prompt that leaves no room below max_position_embeddings; Error(usage) for speculation
    /// without an MTP module.
    GenerateResult generate(std::span<const int32_t> prompt, const GenerateOptions& options);
    /// Those errors before anything is computed, for a caller that shows the prompt first.
    void check(std::span<const int32_t> prompt, const GenerateOptions& options);

  private:
    Engine& engine(const GenerateOptions& options);

    Context& context_;
    const model::Model& model_;
    std::unique_ptr<Engine> engine_;
    EngineOptions engine_options_ = {};  // of engine_
};

}  // namespace hadal::infer
