#include "chat/prompter.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "core/error.h"
#include "text/control_tokens.h"
#include "text/v3_template.h"

namespace hadal::chat {

namespace {

using Json = nlohmann::ordered_json;

/// The pieces up to the end of `last`, the text of the last message: what the template writes
/// behind an answer is not there yet while it is being continued.
void cut_behind(std::vector<Piece>& pieces, std::string_view last) {
    const size_t found = text_of(pieces).rfind(last);
    if (found == std::string::npos) {
        throw Error(
            Error::Kind::bad_input,
            "the model's chat template changes the last message, so it cannot be continued");
    }
    size_t left = found + last.size();
    for (size_t i = 0; i < pieces.size(); ++i) {
        if (pieces[i].text.size() >= left) {
            pieces[i].text.resize(left);
            pieces.resize(i + 1);
            return;
        }
        left -= pieces[i].text.size();
    }
}

Json settings_of(const text::Tokenizer& tokenizer, const PromptOptions& options) {
    Json settings = {{"add_generation_prompt", options.ask && !options.continue_last}};
    const auto name = [&](const char* key, const std::optional<int32_t>& id) {
        settings[key] = id ? std::string(tokenizer.token_bytes(*id)) : "";
    };
    name("bos_token", tokenizer.bos_id());
    name("eos_token", tokenizer.eos_id());
    name("pad_token", tokenizer.pad_id());
    if (options.thinking)  // both names are in use
        settings["thinking"] = settings["enable_thinking"] = *options.thinking;
    return settings;
}

}  // namespace

Prompter::Prompter(const text::Tokenizer& tokenizer, std::optional<Template> given)
    : tokenizer_(tokenizer), template_("") {
    if (!given) given = Template::from_config(tokenizer.content().config_json);
    is_v3_by_default_ = !given;
    template_ = given ? std::move(*given) : Template(text::v3_template());
}

std::vector<int32_t> Prompter::ids(const Json& messages, const Json& tools,
                                   const PromptOptions& options) const {
    if (is_v3_by_default_ && !tokenizer_.id_of(text::kUser)) {
        throw Error(Error::Kind::unsupported,
                    concat("the model has no chat template, and its tokenizer lacks '", text::kUser,
                           "' of DeepSeek-V3's (add a chat_template.jinja to its directory)"));
    }
    Json data = {{"messages", messages}};
    if (tools.is_array() && !tools.empty()) data["tools"] = tools;
    std::vector<Piece> pieces = template_.render(data, settings_of(tokenizer_, options));
    if (options.continue_last && !messages.empty()) {
        const Json& content = messages.back()["content"];
        if (content.is_string()) cut_behind(pieces, content.get_ref<const std::string&>());
    }
    const size_t bytes = text_of(pieces).size();
    if (bytes > options.most_bytes) throw PromptTooLong(bytes);
    return encode(tokenizer_, pieces);
}

}  // namespace hadal::chat
