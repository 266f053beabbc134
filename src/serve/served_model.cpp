#include "serve/served_model.h"

#include <algorithm>

#include <nlohmann/json.hpp>

#include "core/json.h"
#include "serve/api_error.h"

namespace hadal::serve {

void ServedModel::check_name(const std::string& wanted) const {
    if (wanted.empty() || wanted == name || std::ranges::find(aliases, wanted) != aliases.end()) {
        return;
    }
    throw ApiError(404, "this server has no model of that name; GET /v1/models lists what it has",
                   "model", "model_not_found");
}

std::string chat_template_of(const text::Tokenizer& tokenizer) {
    const std::string& config = tokenizer.content().config_json;
    if (config.empty()) return "";
    const nlohmann::json parsed = parse_json(config, "tokenizer_config.json");
    const auto found = parsed.find("chat_template");
    return found != parsed.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace hadal::serve
