#include "serve/tokens.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "infer/text_prompt.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"
#include "serve/openai_request.h"
#include "text/detokenizer.h"

namespace hadal::serve {

using Json = nlohmann::ordered_json;

Json model_json(const ServedModel& model, const std::string& name) {
    return {{"id", name},
            {"object", "model"},
            {"created", model.created},
            {"owned_by", "hadal"},
            {"root", model.name},
            {"parent", nullptr},
            {"max_model_len", model.most_tokens}};
}

std::string tokenize_answer(std::string_view body, const ServedModel& model) {
    const nlohmann::json parsed = parse_body(body);
    const JsonFields fields(parsed);
    model.check_name(fields.text("model", 1024).value_or(""));
    auto text = fields.text("prompt", body.size());
    if (!text) text = fields.text("text", body.size());
    if (!text) throw ApiError::field("prompt", "'prompt' is missing");
    const bool parse_special = fields.boolean("parse_special").value_or(true);
    const bool with_bos = fields.boolean("add_special_tokens").value_or(true);
    const std::vector<int32_t> ids = with_bos
                                         ? infer::prompt_ids(model.tokenizer, *text, parse_special)
                                         : model.tokenizer.encode(*text, parse_special);
    return Json({{"count", ids.size()}, {"max_model_len", model.most_tokens}, {"tokens", ids}})
        .dump();
}

std::string tokenizer_info(const ServedModel& model) {
    const text::Tokenizer& tokenizer = model.tokenizer;
    const auto token = [&](std::optional<int32_t> id) {
        return id ? Json(tokenizer.token_bytes(*id)) : Json();
    };
    Json info = {{"bos_token", token(tokenizer.bos_id())},
                 {"eos_token", token(tokenizer.eos_id())},
                 {"pad_token", token(tokenizer.pad_id())},
                 {"add_bos_token", tokenizer.add_bos()},
                 {"vocab_size", tokenizer.vocab_size()}};
    info["chat_template"] = model.prompter.chat_template().source();
    return info.dump(-1, ' ', false, Json::error_handler_t::replace);
}

std::string detokenize_answer(std::string_view body, const ServedModel& model) {
    const nlohmann::json parsed = parse_body(body);
    const JsonFields fields(parsed);
    model.check_name(fields.text("model", 1024).value_or(""));
    const nlohmann::json* tokens = fields.array("tokens", body.size());
    if (tokens == nullptr) throw ApiError::field("tokens", "'tokens' is missing");
    text::Detokenizer detokenizer(model.tokenizer, /*skip_special=*/false);
    std::string text;
    for (const nlohmann::json& token : *tokens) {
        const bool valid =
            token.is_number_unsigned() && token.get<uint64_t>() < uint64_t(model.num_ids);
        if (!valid) {
            throw ApiError::field("tokens",
                                  concat("'tokens' must hold ids from 0 to ", model.num_ids - 1));
        }
        text += detokenizer.push(token.get<int32_t>());
    }
    text += detokenizer.finish();
    return Json({{"prompt", text}}).dump();
}

}  // namespace hadal::serve
