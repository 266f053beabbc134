// Any bytes as a chat template over a conversation: a prompt or one line of error, in bounded time,
// and what the messages said never becomes the template's own text.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "chat/template.h"
#include "core/error.h"

namespace {

using Json = nlohmann::ordered_json;

/// Every text of a message holds this character, which templates of the corpus do not.
constexpr char kMark = '\x01';

Json conversation() {
    const std::string mark(1, kMark);
    Json call = {{"id", mark},
                 {"type", mark},
                 {"function", {{"name", mark}, {"arguments", "{\"" + mark + "\": 1}"}}}};
    Json assistant = {{"role", "assistant"}, {"content", "x" + mark + "</think>y"}};
    assistant["tool_calls"] = Json::array({call});
    const Json user = {{"role", "user"}, {"content", mark + "<A>" + mark}};
    return {{"messages", Json::array({user, assistant, user})}, {"tools", Json::array({call})}};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view source(reinterpret_cast<const char*>(data), size);
    if (size > 4000 || source.find(kMark) != std::string_view::npos) return 0;
    // Templates that write the mark as an escape would spoil the check.
    if (source.find("\\x") != std::string_view::npos) return 0;
    try {
        const hadal::chat::Template chat(source);
        const auto pieces =
            chat.render(conversation(), {{"bos_token", "<B>"}, {"add_generation_prompt", true}});
        for (const hadal::chat::Piece& piece : pieces) {
            if (piece.control && piece.text.find(kMark) != std::string::npos) std::abort();
        }
    } catch (const hadal::Error& error) {
        const std::string_view message = error.what();
        if (message.empty()) std::abort();
    }
    return 0;
}
