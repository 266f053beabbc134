// Answers of /v1/messages, Anthropic's form.
#pragma once

#include <memory>

#include "serve/answer.h"
#include "serve/api_error.h"
#include "serve/reply.h"

namespace hadal::serve {

/// `prompt_tokens`: a stream tells them before anything is known of the engine.
std::unique_ptr<Answer> messages_answer(AnswerHead head, Reply reply, int64_t prompt_tokens);

/// {"type": "error", "error": {"type", "message"}}.
std::string messages_error(const ApiError& error);

}  // namespace hadal::serve
