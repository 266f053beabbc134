// The fields that completions and chat completions have in common.
#pragma once

#include "serve/json_fields.h"
#include "serve/openai_request.h"

namespace hadal::serve {

/// All of TextRequest but log-probabilities, which the two formats ask for differently.
/// `default_tokens`: what a request gets that names no `max_tokens`; nothing: the context's rest.
/// The server's limit is above both.
void read_text_fields(const JsonFields& fields, const RequestLimits& limits,
                      std::optional<int64_t> default_tokens, TextRequest& request);

}  // namespace hadal::serve
