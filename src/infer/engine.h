// Serves many requests from one model: continuous batching over a paged latent cache, shared
// prefixes, speculation. docs/engine.md is its description.
//
//     infer::Engine engine(context, model, {});
//     engine.submit({.prompt = ids, .on_token = …, .on_finish = …});
//     while (engine.step()) {}
//
// A request's text depends on the request alone: not on what else runs, nor on the options below,
// but for the form of attention.
#pragma once

#include <chrono>
#include <condition_variable>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "core/context.h"
#include "infer/batch_scheduler.h"
#include "infer/draft_planner.h"
#include "infer/model_runner.h"
#include "infer/request.h"
#include "model/transformer.h"

namespace hadal::infer {

enum class DraftSource { mtp, prompt_lookup };

/// Which rows attend in expanded form. docs/engine.md, "Forms of attention".
enum class AttentionForms {
    absorbed,      // none
    long_prompts,  // whole blocks of 512 positions inside prompts of 2048 tokens or more
    expanded       // all: the bits of training and scoring
};
/// Positions of a prompt, from 0, that attend in expanded form.
int64_t expanded_positions(AttentionForms forms, int64_t prompt_tokens);

struct EngineOptions {
    int64_t cache_bytes = int64_t(1) << 30;       // of latents; never exceeded
    int64_t max_sequences = 64;                   // that run at one time
    int64_t max_step_tokens = 512;                // rows of a step
    int64_t draft_tokens = 0;                     // guesses per step at most; 0: no speculation
    DraftSource draft_source = DraftSource::mtp;  // the first MTP module, or the text so far
    bool adaptive_drafts = true;                  // fewer guesses, or none, where they do not pay
    bool share_prefixes = true;
    AttentionForms attention = AttentionForms::absorbed;
    bool fp8_cache =
        false;  // latents in FP8, of models in bf16; other bits, invariant all the same

    bool operator==(const EngineOptions&) const = default;
};

/// Bytes of a page of the latent cache, all layers.
int64_t cache_page_bytes(const model::Model& model, bool fp8_cache = false);
/// Positions that a sequence may have: the model's, or fewer if its rotary table is shorter.
int64_t most_positions(const model::Model& model);

/// Totals since the engine was made, and its present state.
struct EngineStats {
    int64_t steps = 0;
    int64_t step_tokens = 0;    // rows computed
    int64_t prompt_tokens = 0;  // of finished and running requests
    int64_t reused_tokens = 0;  // of them, found in the cache
    int64_t generated_tokens = 0;
    int64_t draft_tokens = 0;
    int64_t accepted_tokens = 0;
    int64_t preemptions = 0;
    int64_t running = 0;
    int64_t waiting = 0;
    int64_t pages = 0;       // of the cache
    int64_t free_pages = 0;  // free now
    int64_t idle_pages = 0;  // hold prefixes that nobody uses now
};

class Engine {
  public:
    /// `context` and `model` must outlive the engine; nobody else may use the context while a step
    /// runs. Error(usage) for options that cannot be: a cache of less than one page, speculation
    /// without an MTP module.
    Engine(Context& context, const model::Model& model, const EngineOptions& options);
    ~Engine();

    /// From any thread, from inside a handler too. Error(bad_input) before anything is queued: an
    /// empty prompt, an id outside the vocabulary, a prompt longer than the model takes or than the
    /// cache could ever hold; Error(usage) for sampling options out of range.
    RequestId submit(Request request);
    /// The same checks alone.
    void check(const Request& request) const;
    /// Tokens that a request may have, prompt and answer together: what the model and the cache
    /// take. From any thread.
    int64_t most_tokens() const;
    /// Ends a request before its next step; nothing happens if it has ended. From any thread.
    void cancel(RequestId id);

    /// One step of the model and the handlers' calls. False if there was nothing to do. From one
    /// thread.
    bool step();
    /// Waits until step() has something to do, at most so long; true if it has.
    bool wait(std::chrono::milliseconds at_most);

    /// Both from the thread that calls step().
    EngineStats stats() const;
    /// Rows that went to each expert so far: [MoE layer][expert].
    const std::vector<std::vector<int64_t>>& expert_load() const {
        return runner_.expert_load();
    }

  private:
    struct Active;
    using Clock = std::chrono::steady_clock;

    void take_notes();
    void decide(const Step& step);
    void decide_block(const Step& step, size_t first, size_t end);
    void choose(Active& active, const Run& run, const Tensor& logits);
    int32_t sample(Active& active, std::span<const float> logits, int64_t position);
    static void fail_for_numbers(Active& active);
    static int32_t sample_by_grammar(Active& active, std::span<const float> logits,
                                     int64_t position);
    static int32_t sample_no_stop(Active& active, std::span<const float> logits, int64_t position);
    void report(Active& active, const Tensor& logits, std::span<const float> logprobs);
    void append(Active& active, const GeneratedToken& token);
    void score_prompts(const Step& step);
    void score_prompt(Active& active, const Run& run, int64_t first_row);
    int64_t guesses_for(const Step& step);
    void look_up(const Step& step);
    void follow_and_draft(const Step& step);
    void settle(const Step& step);
    void finish(Active& active);
    Active& of(const Run& run);

    Context& context_;
    const model::Model& model_;
    EngineOptions options_;
    BatchScheduler scheduler_;
    ModelRunner runner_;
    DraftPlanner planner_;
    std::map<RequestId, std::unique_ptr<Active>> active_;
    EngineStats totals_;

    std::mutex mutex_;  // guards what follows: notes of other threads
    std::condition_variable noted_;
    std::vector<std::unique_ptr<Active>> submitted_;
    std::vector<RequestId> cancelled_;
    RequestId last_id_ = 0;
};

}  // namespace hadal::infer
