// Answers of /v1/chat/completions.
#pragma once

#include <memory>

#include "serve/answer.h"
#include "serve/openai_request.h"
#include "text/tokenizer.h"

namespace hadal::serve {

std::unique_ptr<Answer> chat_answer(AnswerHead head, const ChatRequest& request,
                                    const text::Tokenizer& tokenizer);

}  // namespace hadal::serve
