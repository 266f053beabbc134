// Refusals before any text is generated, in the form of the API that was asked.
#pragma once

#include <string_view>

#include "http/exchange.h"
#include "serve/api_error.h"

namespace hadal::serve {

/// A path without the prefix that a client's base URL gave it: OpenAI's ends in /v1, DeepSeek's has
/// nothing, its newest features are under /beta, and Anthropic's API is under /anthropic.
std::string_view without_prefix(std::string_view path);

/// With the headers that the status asks for: when to try again, what a key looks like.
http::Response error_response(const http::Request& request, const ApiError& error);

}  // namespace hadal::serve
