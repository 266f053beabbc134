#include "http/message.h"

#include <algorithm>
#include <boost/beast/http/status.hpp>
#include <cstdio>

#include "core/error.h"

namespace hadal::http {

namespace {

void add_header(std::string& text, std::string_view name, std::string_view value) {
    text.append(name).append(": ");
    for (const char c : value) text += c == '\r' || c == '\n' || c == '\0' ? ' ' : c;
    text += "\r\n";
}

int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::optional<std::string> decoded(std::string_view text) {
    std::string result;
    for (size_t i = 0; i < text.size(); ++i) {
        char c = text[i];
        if (c == '%') {
            if (i + 2 >= text.size()) return std::nullopt;
            const int high = hex_digit(text[i + 1]), low = hex_digit(text[i + 2]);
            if (high < 0 || low < 0) return std::nullopt;
            c = char(high * 16 + low);
            i += 2;
        }
        if (c == '\0') return std::nullopt;
        result += c;
    }
    return result;
}

}  // namespace

std::string head_text(const Response& response, Framing framing, bool keep_alive,
                      std::string_view request_id) {
    const auto reason = boost::beast::http::obsolete_reason(
        boost::beast::http::int_to_status(unsigned(response.status)));
    std::string text = concat("HTTP/1.1 ", response.status, " ",
                              std::string_view(reason.data(), reason.size()), "\r\n");
    if (!response.content_type.empty()) add_header(text, "Content-Type", response.content_type);
    if (framing == Framing::length)
        add_header(text, "Content-Length", std::to_string(response.body.size()));
    if (framing == Framing::chunked) add_header(text, "Transfer-Encoding", "chunked");
    add_header(text, "Connection", keep_alive ? "keep-alive" : "close");
    if (!request_id.empty()) add_header(text, "X-Request-Id", request_id);
    for (const auto& [name, value] : response.headers) add_header(text, name, value);
    return text += "\r\n";
}

std::string chunk_text(std::string_view bytes) {
    if (bytes.empty()) return {};
    char size[20];
    std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
    return std::string(size).append(bytes).append("\r\n");
}

std::optional<Target> parse_target(std::string_view target) {
    if (!target.starts_with('/')) return std::nullopt;
    const size_t mark = std::min(target.find('?'), target.size());
    auto path = decoded(target.substr(0, mark));
    if (!path) return std::nullopt;
    const std::string_view query = target.substr(std::min(mark + 1, target.size()));
    return Target{std::move(*path), std::string(query)};
}

std::string_view usable_request_id(std::string_view given) {
    const auto usable = [](char c) {
        return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
               c == '-' || c == '_' || c == '.';
    };
    return given.size() <= 128 && std::ranges::all_of(given, usable) ? given : std::string_view();
}

}  // namespace hadal::http
