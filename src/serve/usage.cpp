#include "serve/usage.h"

#include <nlohmann/json.hpp>

namespace hadal::serve {

void Usage::add(const infer::RequestResult& result, bool first_of_prompt) {
    if (first_of_prompt) {
        prompt_ += result.prompt_tokens;
        cached_ += result.reused_tokens;
    }
    completion_ += int64_t(result.tokens.size());
    drafts_ += result.draft_tokens;
    accepted_ += result.accepted_tokens;
}

nlohmann::ordered_json Usage::json() const {
    return {{"prompt_tokens", prompt_},
            {"completion_tokens", completion_},
            {"total_tokens", prompt_ + completion_},
            {"prompt_tokens_details", {{"cached_tokens", cached_}}},
            {"completion_tokens_details",
             {{"reasoning_tokens", reasoning_},
              {"accepted_prediction_tokens", accepted_},
              {"rejected_prediction_tokens", drafts_ - accepted_}}},
            {"prompt_cache_hit_tokens", cached_},
            {"prompt_cache_miss_tokens", prompt_ - cached_}};
}

}  // namespace hadal::serve
