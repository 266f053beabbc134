#include "text/unicode.h"

#include <algorithm>

namespace hadal::text {
namespace {

struct Lead {
    uint32_t bytes;            // of the whole character, 0: cannot start one
    unsigned char second_min;  // range of the second byte
    unsigned char second_max;
};

Lead lead_of(unsigned char byte) {
    if (byte < 0xC2) return {0, 0, 0};
    if (byte < 0xE0) return {2, 0x80, 0xBF};
    if (byte == 0xE0) return {3, 0xA0, 0xBF};
    if (byte == 0xED) return {3, 0x80, 0x9F};
    if (byte < 0xF0) return {3, 0x80, 0xBF};
    if (byte == 0xF0) return {4, 0x90, 0xBF};
    if (byte < 0xF4) return {4, 0x80, 0xBF};
    if (byte == 0xF4) return {4, 0x80, 0x8F};
    return {0, 0, 0};
}

/// Bytes at the front that agree with the character their first byte announces, at least 1.
size_t agreeing_bytes(std::string_view text, const Lead& lead) {
    const size_t limit = std::min<size_t>(lead.bytes, text.size());
    size_t count = 1;
    while (count < limit) {
        const unsigned char byte = static_cast<unsigned char>(text[count]);
        const unsigned char low = count == 1 ? lead.second_min : 0x80;
        const unsigned char high = count == 1 ? lead.second_max : 0xBF;
        if (byte < low || byte > high) break;
        ++count;
    }
    return count;
}

}  // namespace

CharacterClasses::CharacterClasses() : table_(kInvalidCharacter + 1) {
    const std::span<const uint32_t> runs = unicode_class_runs();
    for (size_t i = 0; i < runs.size(); ++i) {
        const uint32_t begin = runs[i] >> 8;
        const uint32_t end = i + 1 < runs.size() ? runs[i + 1] >> 8 : kInvalidCharacter;
        std::fill(table_.begin() + begin, table_.begin() + end, uint8_t(runs[i] & 0xFF));
    }
}

const CharacterClasses& CharacterClasses::instance() {
    static const CharacterClasses classes;
    return classes;
}

Character decode_long_character(std::string_view text) {
    const unsigned char first = static_cast<unsigned char>(text.front());
    if (first < 0x80) return {first, 1};
    const Lead lead = lead_of(first);
    if (lead.bytes == 0 || agreeing_bytes(text, lead) != lead.bytes) return {kInvalidCharacter, 1};
    char32_t code = first & (0x7F >> lead.bytes);
    for (uint32_t i = 1; i < lead.bytes; ++i) {
        code = code << 6 | (static_cast<unsigned char>(text[i]) & 0x3F);
    }
    return {code, lead.bytes};
}

size_t incomplete_character_bytes(std::string_view text) {
    if (text.empty()) return 0;
    const Lead lead = lead_of(static_cast<unsigned char>(text.front()));
    if (lead.bytes <= text.size()) return 0;
    return agreeing_bytes(text, lead) == text.size() ? text.size() : 0;
}

void append_utf8(char32_t code, std::string& out) {
    if (code < 0x80) {
        out += char(code);
    } else if (code < 0x800) {
        out += char(0xC0 | code >> 6);
        out += char(0x80 | (code & 0x3F));
    } else if (code < 0x10000) {
        out += char(0xE0 | code >> 12);
        out += char(0x80 | (code >> 6 & 0x3F));
        out += char(0x80 | (code & 0x3F));
    } else {
        out += char(0xF0 | code >> 18);
        out += char(0x80 | (code >> 12 & 0x3F));
        out += char(0x80 | (code >> 6 & 0x3F));
        out += char(0x80 | (code & 0x3F));
    }
}

std::string displayable(std::string_view bytes) {
    std::string shown;
    shown.reserve(bytes.size());
    while (!bytes.empty()) {
        const Character character = decode_character(bytes);
        size_t used = character.bytes;
        if (character.code == kInvalidCharacter) {
            const Lead lead = lead_of(static_cast<unsigned char>(bytes.front()));
            used = lead.bytes == 0 ? 1 : agreeing_bytes(bytes, lead);
            append_utf8(kReplacementCharacter, shown);
        } else {
            shown += bytes.substr(0, used);
        }
        bytes.remove_prefix(used);
    }
    return shown;
}

}  // namespace hadal::text
