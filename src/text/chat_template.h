// DeepSeek-V3's chat format (tokenizer_config.json of the release):
//     BOS system  <｜User｜> question <｜Assistant｜> answer EOS  <｜User｜> …
// without line breaks; several system messages are joined by an empty line. Templates of other
// models, and tools, are left out.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "text/tokenizer.h"

namespace hadal::text {

struct ChatMessage {
    std::string role;  // "system", "user" or "assistant"
    std::string content;
};

/// Ids of the conversation, ready for the model: BOS is there, do not add a second. The messages'
/// own text never becomes a control token. `ask` appends <｜Assistant｜>, for the model to go on.
/// Error(bad_input) for another role, Error(unsupported) if the tokenizer lacks a control token.
std::vector<int32_t> chat_ids(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                              bool ask = true);

/// The same as text, for people to read.
std::string chat_text(std::span<const ChatMessage> messages, bool ask = true);

}  // namespace hadal::text
