// Counts the tokens of an answer, in OpenAI's and DeepSeek's fields.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

#include "infer/request.h"

namespace hadal::serve {

class Usage {
  public:
    /// `first_of_prompt`: several texts that answer one prompt count it once.
    void add(const infer::RequestResult& result, bool first_of_prompt);
    void add_reasoning(int64_t tokens) {
        reasoning_ += tokens;
    }
    nlohmann::ordered_json json() const;

    int64_t prompt_tokens() const {
        return prompt_;
    }
    int64_t cached_tokens() const {
        return cached_;
    }
    int64_t completion_tokens() const {
        return completion_;
    }

  private:
    int64_t prompt_ = 0, cached_ = 0, completion_ = 0, reasoning_ = 0;
    int64_t drafts_ = 0, accepted_ = 0;
};

}  // namespace hadal::serve
