// Who may use the server: keys from a file, and the web pages of other origins (CORS).
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/exchange.h"

namespace hadal::serve {

class ApiKeys {
  public:
    /// None: everybody may.
    ApiKeys() = default;
    /// A key a line, behind it perhaps a name for the log: "sk-4f… alice". '#' begins a comment.
    static ApiKeys parse(std::string_view text, std::string_view where);
    /// Error(usage) for a file without a key or with one that no header can carry.
    static ApiKeys from_file(const std::filesystem::path& file);

    bool empty() const {
        return keys_.empty();
    }
    /// The name of the key in `Authorization: Bearer` or `X-Api-Key`, "" for one without a name;
    /// nothing if it is none of ours. Takes as long for a wrong key as for any other.
    std::optional<std::string> name_of(const http::Request& request) const;

  private:
    using Digest = std::array<uint8_t, 32>;

    std::vector<std::pair<Digest, std::string>> keys_;  // SHA-256 and name
};

class CrossOrigin {
  public:
    /// "https://chat.example", "*" for any; none: other origins' pages may not use the server.
    explicit CrossOrigin(std::vector<std::string> origins = {});

    using Headers = std::vector<std::pair<std::string, std::string>>;
    /// What goes with an answer to this request.
    Headers headers(const http::Request& request) const;
    /// The answer to a browser that asks first; nothing if it is not such a request.
    std::optional<http::Response> preflight(const http::Request& request) const;
    /// Whether it comes from a page that is none of the origins and asks for work. Browsers send
    /// some requests of such pages without asking first, and only keep the answers from them.
    bool refuses(const http::Request& request) const;

  private:
    std::vector<std::string> origins_;
};

}  // namespace hadal::serve
