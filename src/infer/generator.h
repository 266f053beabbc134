// Generation of one sequence: prompt in chunks, then token after token over the latent cache, with
// the MTP module drafting.
#pragma once

#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "core/context.h"
#include "infer/sampler.h"
#include "model/transformer.h"

namespace hadal::infer {

struct GenerateOptions {
    int64_t max_new_tokens = 128;
    SamplingOptions sampling = {};
    int64_t draft_tokens = 0;  // per step, by the first MTP module; 0: no speculation
    /// Ids below this are chosen; 0: all. A head is often padded beyond the tokenizer's ids.
    int64_t num_ids = 0;
    std::vector<int32_t> stop_ids = {};
    /// Called with every new token; false stops. A stop id is not passed on.
    std::function<bool(int32_t)> on_token = {};
};

enum class FinishReason { stop, length };
std::string_view name(FinishReason reason);

struct GenerateResult {
    std::vector<int32_t> tokens;  // without the stop id
    FinishReason finish_reason = FinishReason::length;
    int64_t prefill_tokens = 0;  // computed; those found in the cache are not
    double prefill_seconds = 0;
    double decode_seconds = 0;
    int64_t draft_tokens = 0;     // proposed
    int64_t accepted_tokens = 0;  // of them accepted
};

/// Holds the cache, so that a prompt that begins like the text before (a conversation) is not
/// computed again.
class Generator {
  public:
    /// The context and the model must outlive the generator.
    Generator(Context& context, const model::Model& model);

    /// Continues `prompt`. Error(bad_input) for an empty prompt, an id outside the vocabulary, or a
    /// prompt that leaves no room below max_position_embeddings; Error(usage) for speculation
    /// without an MTP module.
    GenerateResult generate(std::span<const int32_t> prompt, const GenerateOptions& options);
    /// Those errors before anything is computed, for a caller that shows the prompt first.
    void check(std::span<const int32_t> prompt, const GenerateOptions& options) const;

  private:
    void reserve(int64_t positions);
    int64_t reusable_prefix(std::span<const int32_t> prompt) const;
    Tensor prefill(std::span<const int32_t> prompt, bool with_mtp);
    Tensor step(std::span<const int32_t> tokens);
    void follow_with_mtp(const Tensor& hidden, std::span<const int32_t> next_tokens, Tensor& last);
    std::vector<int32_t> draft(const Tensor& mtp_last, int64_t count);
    std::vector<int32_t> choose(const Tensor& hidden, std::span<const int32_t> drafted,
                                Sampler& sampler);

    Context& context_;
    const model::Model& model_;
    model::LatentCache cache_;
    std::vector<int32_t> pages_;   // 0, 1, …: all of the cache is this sequence's
    int64_t mtp_length_ = 0;       // positions in the MTP layer's cache
    int64_t num_ids_ = 0;          // of the head, those that may be chosen
    std::vector<int32_t> tokens_;  // those in the cache
};

}  // namespace hadal::infer
