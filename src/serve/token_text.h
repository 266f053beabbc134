// Tokens as the log-probabilities of the API show them.
#pragma once

#include <memory>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>

#include "infer/sampler.h"
#include "text/detokenizer.h"
#include "text/tokenizer.h"

namespace hadal::serve {

/// A token alone; U+FFFD where its bytes are no whole characters, nothing for a padded id.
std::string token_text(const text::Tokenizer& tokenizer, int32_t id);
/// JSON has no −∞; −9999 stands for it.
double json_logprob(float logprob);

/// An entry of a chat completion's "content": {token, logprob, bytes, top_logprobs}.
nlohmann::ordered_json chat_logprob(const text::Tokenizer& tokenizer, infer::TokenLogprob token,
                                    std::span<const infer::TokenLogprob> top);

/// The completions' older form: four arrays with one entry per token.
class LegacyLogprobs {
  public:
    explicit LegacyLogprobs(const text::Tokenizer& tokenizer, int64_t count);
    ~LegacyLogprobs();
    LegacyLogprobs(LegacyLogprobs&&) noexcept;

    /// The first token of a prompt, which nothing predicts.
    void add_first(int32_t id);
    void add(infer::TokenLogprob token, std::span<const infer::TokenLogprob> top);
    bool empty() const;
    /// What was added since the last call.
    nlohmann::ordered_json take();

  private:
    void append(int32_t id, nlohmann::ordered_json logprob, nlohmann::ordered_json top);

    const text::Tokenizer& tokenizer_;
    int64_t count_;                  // most probable tokens shown
    text::Detokenizer detokenizer_;  // where in the text a token begins
    int64_t offset_ = 0;             // characters
    std::unique_ptr<nlohmann::ordered_json> arrays_;
};

}  // namespace hadal::serve
