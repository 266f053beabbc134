// Anthropic's messages as a chat of OpenAI's form, which is what the rest of the server knows.
#pragma once

#include <string>
#include <string_view>

#include "serve/openai_request.h"

namespace hadal::serve {

/// ApiError names the field as Anthropic calls it, as far as the two differ. What only tunes the
/// original service (cache_control, metadata, service_tier, betas) is passed over. `model` may be
/// any name and is dropped: clients of this API insist on those they know.
ChatRequest parse_messages_request(std::string_view body, const RequestLimits& limits);

/// The model that the body names, for the answer.
std::string messages_model(std::string_view body);

}  // namespace hadal::serve
