// Which bytes of a text are UTF-8.
#pragma once

#include <cstdint>
#include <string_view>

namespace hadal::data {

/// Bytes that belong to no well-formed character.
int64_t invalid_utf8_bytes(std::string_view text);

inline bool is_utf8(std::string_view text) {
    return invalid_utf8_bytes(text) == 0;
}

}  // namespace hadal::data
