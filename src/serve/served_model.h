// The model as the API knows it.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "chat/format.h"
#include "chat/prompter.h"
#include "text/tokenizer.h"

namespace hadal::serve {

struct ServedModel {
    std::string name;
    std::vector<std::string> aliases;  // other names that requests may use
    const text::Tokenizer& tokenizer;
    const chat::Prompter& prompter;      // of conversations
    const chat::Format& format;          // of thoughts and tool calls
    std::vector<int32_t> stop_ids = {};  // that end a text
    int64_t num_ids = 0;                 // ids below this are chosen
    int64_t most_tokens = 0;             // prompt and answer together
    size_t most_prompt_bytes = 0;        // a longer text has more tokens, whatever it says
    int64_t created = 0;                 // seconds since 1970

    /// From most_tokens and the tokenizer's longest token.
    void limit_prompts();
    /// ApiError 404 for a name that is not served; an empty one is any.
    void check_name(const std::string& wanted) const;
};

}  // namespace hadal::serve
