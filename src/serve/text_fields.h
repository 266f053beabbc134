// The fields that completions and chat completions have in common.
#pragma once

#include "serve/json_fields.h"
#include "serve/openai_request.h"

namespace hadal::serve {

/// All of TextRequest but log-probabilities, which the two formats ask for differently.
void read_text_fields(const JsonFields& fields, const RequestLimits& limits, TextRequest& request);

}  // namespace hadal::serve
