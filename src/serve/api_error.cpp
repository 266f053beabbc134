#include "serve/api_error.h"

#include <nlohmann/json.hpp>
#include <string_view>
#include <utility>

#include "core/error.h"

namespace hadal::serve {

namespace {

std::string_view type_of(int status) {
    switch (status) {
        case 401:
            return "authentication_error";
        case 403:
            return "permission_error";
        case 404:
            return "not_found_error";
        case 429:
            return "rate_limit_error";
        case 503:
            return "service_unavailable_error";
        default:
            return status < 500 ? "invalid_request_error" : "server_error";
    }
}

}  // namespace

ApiError::ApiError(int status, std::string message, std::string param, std::string code)
    : status_(status),
      message_(std::move(message)),
      param_(std::move(param)),
      code_(std::move(code)) {}

ApiError ApiError::field(std::string param, std::string message) {
    return {400, std::move(message), std::move(param)};
}

std::string ApiError::body() const {
    using Json = nlohmann::ordered_json;
    const auto text_or_null = [](const std::string& text) {
        return text.empty() ? Json() : Json(text);
    };
    const Json error = {{"message", message_},
                        {"type", type_of(status_)},
                        {"param", text_or_null(param_)},
                        {"code", text_or_null(code_)}};
    return Json({{"error", error}}).dump(-1, ' ', false, Json::error_handler_t::replace);
}

ApiError as_api_error(const std::exception& error) {
    if (const auto* api = dynamic_cast<const ApiError*>(&error)) return *api;
    const auto* ours = dynamic_cast<const Error*>(&error);
    if (ours != nullptr && ours->exit_status() == 2) return {400, ours->what()};
    return {500, "the server could not answer this request"};
}

}  // namespace hadal::serve
