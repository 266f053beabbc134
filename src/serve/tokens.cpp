#include "serve/tokens.h"

#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "infer/text_prompt.h"
#include "serve/api_error.h"
#include "serve/json_fields.h"
#include "serve/tasks.h"
#include "serve/token_text.h"
#include "text/detokenizer.h"

namespace hadal::serve {

using Json = nlohmann::ordered_json;

namespace {

std::vector<int32_t> ids_of_text(const JsonFields& fields, size_t most_bytes,
                                 const ServedModel& model) {
    auto text = fields.text("prompt", most_bytes);
    if (!text) text = fields.text("text", most_bytes);
    if (!text) throw ApiError::field("prompt", "'prompt' is missing");
    const bool parse_special = fields.boolean("parse_special").value_or(true);
    const bool with_bos = fields.boolean("add_special_tokens").value_or(true);
    return with_bos ? infer::prompt_ids(model.tokenizer, *text, parse_special)
                    : model.tokenizer.encode(*text, parse_special);
}

}  // namespace

Json model_json(const ServedModel& model, const std::string& name) {
    return {{"id", name},
            {"object", "model"},
            {"created", model.created},
            {"owned_by", "hadal"},
            {"root", model.name},
            {"parent", nullptr},
            {"max_model_len", model.most_tokens}};
}

std::string tokenize_answer(std::string_view body, const ServedModel& model,
                            const RequestLimits& limits) {
    const nlohmann::json parsed = parse_body(body);
    const JsonFields fields(parsed);
    model.check_name(fields.text("model", 1024).value_or(""));
    const bool is_chat = fields.has("messages");
    const std::vector<int32_t> ids = is_chat ? chat_prompt(parse_chat_request(body, limits), model)
                                             : ids_of_text(fields, body.size(), model);
    Json answer = {{"count", ids.size()}, {"max_model_len", model.most_tokens}, {"tokens", ids}};
    if (fields.boolean("return_token_strs").value_or(false)) {
        Json& texts = answer["token_strs"] = Json::array();
        for (const int32_t id : ids) texts.push_back(token_text(model.tokenizer, id));
    }
    return answer.dump(-1, ' ', false, Json::error_handler_t::replace);
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
