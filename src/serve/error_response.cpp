#include "serve/error_response.h"

#include "serve/messages_answer.h"

namespace hadal::serve {

std::string_view without_prefix(std::string_view path) {
    for (const std::string_view prefix : {"/v1/", "/beta/v1/", "/beta/", "/anthropic/v1/"}) {
        if (path.starts_with(prefix)) return path.substr(prefix.size() - 1);
    }
    return path;
}

http::Response error_response(const http::Request& request, const ApiError& error) {
    const bool is_anthropic = without_prefix(request.path).starts_with("/messages");
    http::Response response{.status = error.status(),
                            .body = is_anthropic ? messages_error(error) : error.body()};
    if (error.status() == 401) response.headers.emplace_back("WWW-Authenticate", "Bearer");
    if (error.status() == 429 || error.status() == 503) {
        response.headers.emplace_back("Retry-After", "1");
    }
    return response;
}

}  // namespace hadal::serve
