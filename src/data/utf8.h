// Where characters begin in bytes that may or may not be UTF-8.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace hadal::data {

/// Bytes of the well-formed character at the front of `text` (Unicode standard, table 3-7: no
/// overlong forms, no surrogates, nothing above U+10FFFF); 0 where there is none.
size_t character_bytes(std::string_view text);

/// Bytes that belong to no well-formed character.
int64_t invalid_utf8_bytes(std::string_view text);

inline bool is_utf8(std::string_view text) {
    return invalid_utf8_bytes(text) == 0;
}

}  // namespace hadal::data
