// The small answers about the model and its tokenizer: /models, /tokenize, /detokenize.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>

#include "serve/served_model.h"

namespace hadal::serve {

/// An entry of the list of models.
nlohmann::ordered_json model_json(const ServedModel& model, const std::string& name);
/// {"prompt" or "text", "add_special_tokens", "parse_special"} → {"tokens", "count", …}.
std::string tokenize_answer(std::string_view body, const ServedModel& model);
/// {"tokens"} → {"prompt"}.
std::string detokenize_answer(std::string_view body, const ServedModel& model);

}  // namespace hadal::serve
