#include "text/chat_template.h"

#include "core/error.h"
#include "text/control_tokens.h"

namespace hadal::text {
namespace {

/// Gives the conversation's parts in order, control tokens apart from text.
template <class Control, class Text>
void walk(std::span<const ChatMessage> messages, bool ask, const Control& control,
          const Text& text) {
    control(kBeginOfSentence);
    std::string system;
    for (const ChatMessage& message : messages) {
        if (message.role == "system") {
            system += (system.empty() ? "" : "\n\n") + message.content;
        } else if (message.role != "user" && message.role != "assistant") {
            throw Error(Error::Kind::bad_input,
                        concat("role '", message.role,
                               "' of a message is none of system, user, assistant"));
        }
    }
    text(system);
    for (const ChatMessage& message : messages) {
        if (message.role == "system") continue;
        const bool answer = message.role == "assistant";
        control(answer ? kAssistant : kUser);
        text(message.content);
        if (answer) control(kEndOfSentence);
    }
    if (ask) control(kAssistant);
}

}  // namespace

std::vector<int32_t> chat_ids(const Tokenizer& tokenizer, std::span<const ChatMessage> messages,
                              bool ask) {
    std::vector<int32_t> ids;
    const auto control = [&](std::string_view name) {
        const std::optional<int32_t> id = tokenizer.id_of(name);
        if (!id) {
            throw Error(
                Error::Kind::unsupported,
                concat("the tokenizer has no '", name, "', which DeepSeek-V3's chat format needs"));
        }
        ids.push_back(*id);
    };
    walk(messages, ask, control, [&](std::string_view text) {
        const std::vector<int32_t> more = tokenizer.encode(text);
        ids.insert(ids.end(), more.begin(), more.end());
    });
    return ids;
}

std::string chat_text(std::span<const ChatMessage> messages, bool ask) {
    std::string all;
    const auto append = [&](std::string_view part) { all += part; };
    walk(messages, ask, append, append);
    return all;
}

}  // namespace hadal::text
