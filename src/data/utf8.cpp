#include "data/utf8.h"

namespace hadal::data {

size_t character_bytes(std::string_view text) {
    if (text.empty()) return 0;
    const auto byte = [&](size_t i) { return uint8_t(text[i]); };
    const uint8_t first = byte(0);
    if (first < 0x80) return 1;
    if (first < 0xC2 || first > 0xF4) return 0;
    const size_t length = first < 0xE0 ? 2 : first < 0xF0 ? 3 : 4;
    if (text.size() < length) return 0;
    // The second byte's range excludes overlong forms, surrogates and what lies beyond U+10FFFF.
    const uint8_t low = first == 0xE0 ? 0xA0 : first == 0xF0 ? 0x90 : 0x80;
    const uint8_t high = first == 0xED ? 0x9F : first == 0xF4 ? 0x8F : 0xBF;
    if (byte(1) < low || byte(1) > high) return 0;
    for (size_t i = 2; i < length; ++i) {
        if ((byte(i) & 0xC0) != 0x80) return 0;
    }
    return length;
}

int64_t invalid_utf8_bytes(std::string_view text) {
    int64_t invalid = 0;
    while (!text.empty()) {
        const size_t length = character_bytes(text);
        if (length == 0) ++invalid;
        text.remove_prefix(length == 0 ? 1 : length);
    }
    return invalid;
}

}  // namespace hadal::data
