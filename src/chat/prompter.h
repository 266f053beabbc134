// Conversations → prompts, for one model: its template and its tokenizer.
#pragma once

#include <cstdint>
#include <exception>
#include <filesystem>
#include <limits>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <vector>

#include "chat/template.h"
#include "text/tokenizer.h"

namespace hadal::chat {

struct PromptOptions {
    bool ask = true;                    // end where the assistant's answer begins
    bool continue_last = false;         // the last message is the beginning of the answer
    std::optional<bool> thinking = {};  // the template's own habit if nothing is said
    size_t most_bytes = std::numeric_limits<size_t>::max();  // then PromptTooLong
};

/// The prompt's text is too long to be looked at.
class PromptTooLong : public std::exception {
  public:
    explicit PromptTooLong(size_t bytes) : bytes_(bytes) {}

    const char* what() const noexcept override {
        return "the prompt is too long";
    }
    size_t bytes() const {
        return bytes_;
    }

  private:
    size_t bytes_;
};

class Prompter {
  public:
    /// `tokenizer` must outlive this. Without a template: the one in the tokenizer's configuration,
    /// else DeepSeek-V3's.
    explicit Prompter(const text::Tokenizer& tokenizer, std::optional<Template> given = {});

    /// `messages`: an array of {role, content, …} as OpenAI has them. `tools`: an array or null.
    /// Error(bad_input) where the template refuses them, Error(unsupported) if the tokenizer lacks
    /// the control tokens of DeepSeek-V3's format and no other is known.
    std::vector<int32_t> ids(const nlohmann::ordered_json& messages,
                             const nlohmann::ordered_json& tools,
                             const PromptOptions& options) const;

    const Template& chat_template() const {
        return template_;
    }

  private:
    const text::Tokenizer& tokenizer_;
    bool is_v3_by_default_ = false;
    Template template_;
};

}  // namespace hadal::chat
