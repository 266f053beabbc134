#include "serve/access.h"

#include <openssl/crypto.h>
#include <openssl/sha.h>

#include <algorithm>

#include "core/error.h"
#include "core/file_map.h"

namespace hadal::serve {

namespace {

bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/// Takes the first word off `line`.
std::string_view take_word(std::string_view& line) {
    while (!line.empty() && is_blank(line.front())) line.remove_prefix(1);
    const size_t end = size_t(std::ranges::find_if(line, is_blank) - line.begin());
    const std::string_view word = line.substr(0, end);
    line.remove_prefix(end);
    return word;
}

std::array<uint8_t, 32> sha256(std::string_view text) {
    std::array<uint8_t, 32> digest;
    SHA256(reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data());
    return digest;
}

std::string_view key_in(const http::Request& request) {
    constexpr std::string_view kBearer = "bearer ";
    std::string_view value = request.header("Authorization");
    const auto same = [](char a, char b) { return (a >= 'A' && a <= 'Z' ? a + 32 : a) == b; };
    if (std::ranges::equal(value.substr(0, kBearer.size()), kBearer, same)) {
        value.remove_prefix(kBearer.size());
        return value;
    }
    return request.header("X-Api-Key");
}

}  // namespace

ApiKeys ApiKeys::parse(std::string_view text, std::string_view where) {
    ApiKeys keys;
    int64_t number = 0;
    while (!text.empty()) {
        std::string_view line = text.substr(0, text.find('\n'));
        text.remove_prefix(std::min(line.size() + 1, text.size()));
        ++number;
        const std::string_view key = take_word(line);
        if (key.empty() || key.starts_with('#')) continue;
        if (!std::ranges::all_of(key, [](char c) { return c > ' ' && c < 0x7f; })) {
            throw Error(Error::Kind::usage,
                        concat("an API key holds characters that no header can carry: ", where,
                               ": line ", number, " (letters, digits and signs of ASCII)"));
        }
        keys.keys_.emplace_back(sha256(key), take_word(line));
    }
    if (keys.empty()) {
        throw Error(Error::Kind::usage, concat("no API key in ", where,
                                               " (one a line; without the option, none is "
                                               "asked for)"));
    }
    return keys;
}

ApiKeys ApiKeys::from_file(const std::filesystem::path& file) {
    return parse(read_file(file), file.string());
}

std::optional<std::string> ApiKeys::name_of(const http::Request& request) const {
    const Digest given = sha256(key_in(request));
    std::optional<std::string> name;
    // No early end: time must not tell which key is close. Of digests it could tell little anyway.
    for (const auto& [digest, key_name] : keys_) {
        if (CRYPTO_memcmp(digest.data(), given.data(), given.size()) == 0) name = key_name;
    }
    return name;
}

CrossOrigin::CrossOrigin(std::vector<std::string> origins) : origins_(std::move(origins)) {}

CrossOrigin::Headers CrossOrigin::headers(const http::Request& request) const {
    const std::string_view origin = request.header("Origin");
    if (origin.empty()) return {};
    if (std::ranges::find(origins_, "*") != origins_.end()) {
        return {{"Access-Control-Allow-Origin", "*"},
                {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"}};
    }
    if (std::ranges::find(origins_, origin) == origins_.end()) return {};
    return {{"Access-Control-Allow-Origin", std::string(origin)},
            {"Access-Control-Expose-Headers", "X-Request-Id, Retry-After"},
            {"Vary", "Origin"}};
}

std::optional<http::Response> CrossOrigin::preflight(const http::Request& request) const {
    if (request.method != "OPTIONS") return std::nullopt;
    Headers headers = this->headers(request);
    if (headers.empty()) return std::nullopt;
    headers.emplace_back("Access-Control-Allow-Methods", "GET, POST, OPTIONS");
    // Clients add headers of their own (x-stainless-…): whatever the browser names.
    const std::string_view wanted = request.header("Access-Control-Request-Headers");
    headers.emplace_back("Access-Control-Allow-Headers",
                         wanted.empty() ? "Authorization, Content-Type" : std::string(wanted));
    headers.emplace_back("Access-Control-Max-Age", "3600");
    return http::Response{.status = 200, .content_type = "", .headers = std::move(headers)};
}

bool CrossOrigin::refuses(const http::Request& request) const {
    return request.method == "POST" && request.header("Sec-Fetch-Site") == "cross-site" &&
           headers(request).empty();
}

}  // namespace hadal::serve
