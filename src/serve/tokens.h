// The small answers about the model and its tokenizer: /models, the tokenizer's.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "serve/openai_request.h"
#include "serve/served_model.h"

namespace hadal::serve {

/// An entry of the list of models.
nlohmann::ordered_json model_json(const ServedModel& model, const std::string& name);
/// {"prompt" or "text", "add_special_tokens", "parse_special"} → {"tokens", "count", …}. Control
/// tokens are read unless the request says otherwise: who asks for ids makes a prompt of them. With
/// "messages" and what else makes a chat's prompt: its ids.
std::string tokenize_answer(std::string_view body, const ServedModel& model,
                            const RequestLimits& limits);
/// {"bos_token", "eos_token", "pad_token", "chat_template"}: what lm-eval needs to do without
/// files.
std::string tokenizer_info(const ServedModel& model);
/// {"tokens"} → {"prompt"}.
std::string detokenize_answer(std::string_view body, const ServedModel& model);

}  // namespace hadal::serve
