// The text of HTTP/1.1 messages: what is written, and the target of what is read.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "http/exchange.h"

namespace hadal::http {

enum class Framing {
    length,      // a Content-Length
    chunked,     // chunks of known size; HTTP/1.1 only
    until_close  // the end of the connection is the end of the body
};

/// Status line and headers with the empty line behind them. Line breaks inside header values become
/// spaces: nothing that a client sent can add a header.
std::string head_text(const Response& response, Framing framing, bool keep_alive,
                      std::string_view request_id);
/// One chunk; empty text for no bytes, which would mean the end.
std::string chunk_text(std::string_view bytes);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

struct Target {
    std::string path;   // %XX decoded
    std::string query;  // as it came
};
/// "/v1/models?x=1"; nothing for one that does not begin with '/', with a broken %XX or with a zero
/// byte.
std::optional<Target> parse_target(std::string_view target);

/// A client's X-Request-Id if it is 1 to 128 letters, digits, '-', '_' or '.'; else empty.
std::string_view usable_request_id(std::string_view given);

}  // namespace hadal::http
