// Answers of /v1/completions.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "serve/answer.h"
#include "serve/openai_request.h"
#include "text/tokenizer.h"

namespace hadal::serve {

/// `prompts`: their ids; `echoes`: their texts, if the request asks for an echo. Choices are in the
/// order of the prompts, best_of of each.
std::unique_ptr<Answer> completion_answer(AnswerHead head, const CompletionRequest& request,
                                          const text::Tokenizer& tokenizer,
                                          std::vector<std::vector<int32_t>> prompts,
                                          const std::vector<std::string>& echoes);

}  // namespace hadal::serve
