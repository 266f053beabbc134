#include "http/exchange.h"

#include <algorithm>

namespace hadal::http {

std::string_view Request::header(std::string_view name) const {
    const auto lower = [](char c) { return c >= 'A' && c <= 'Z' ? char(c + 32) : c; };
    for (const auto& [key, value] : headers) {
        if (std::ranges::equal(key, name, {}, lower, lower)) return value;
    }
    return {};
}

}  // namespace hadal::http
