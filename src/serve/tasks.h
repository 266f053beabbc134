// From a request that was read to one that the engine can run: prompts become ids, formats become
// grammars. Slow work, for a worker's thread.
#pragma once

#include "serve/generation.h"
#include "serve/grammar_cache.h"
#include "serve/openai_request.h"
#include "serve/served_model.h"

namespace hadal::serve {

/// The ids that a chat's messages become. ApiError for messages that the model's template refuses.
std::vector<int32_t> chat_prompt(const ChatRequest& request, const ServedModel& model);

/// `head`: of the answer; `seed`: for a request that names none.
GenerationTask completion_task(const CompletionRequest& request, const ServedModel& model,
                               GrammarCache& grammars, AnswerHead head, uint64_t seed);
GenerationTask chat_task(const ChatRequest& request, const ServedModel& model,
                         GrammarCache& grammars, AnswerHead head, uint64_t seed);

}  // namespace hadal::serve
