// Answers of /v1/chat/completions.
#pragma once

#include <memory>
#include <vector>

#include "serve/answer.h"
#include "serve/openai_request.h"
#include "serve/reply.h"
#include "text/tokenizer.h"

namespace hadal::serve {

/// `replies`: an empty one for each choice.
std::unique_ptr<Answer> chat_answer(AnswerHead head, const ChatRequest& request,
                                    const text::Tokenizer& tokenizer, std::vector<Reply> replies);

}  // namespace hadal::serve
