#include "serve/served_model.h"

#include <algorithm>

#include "serve/api_error.h"

namespace hadal::serve {

void ServedModel::limit_prompts() {
    size_t longest = 1;
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        longest = std::max(longest, tokenizer.token_bytes(id).size());
    }
    most_prompt_bytes = size_t(most_tokens) * longest;
}

void ServedModel::check_name(const std::string& wanted) const {
    if (wanted.empty() || wanted == name || std::ranges::find(aliases, wanted) != aliases.end()) {
        return;
    }
    throw ApiError(404, "this server has no model of that name; GET /v1/models lists what it has",
                   "model", "model_not_found");
}

}  // namespace hadal::serve
