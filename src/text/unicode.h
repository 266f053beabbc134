// Characters in UTF-8 that may be damaged, and the classes of Unicode that split patterns use.
// Normal forms and case are left out: tokenizers of the V3 family need neither.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::text {

/// Bits of a character's classes: \p{L} \p{M} \p{N} \p{P} \p{S} and \s.
enum CharacterClass : uint8_t {
    kLetter = 1,
    kMark = 2,
    kNumber = 4,
    kPunctuation = 8,
    kSymbol = 16,
    kSpace = 32,
};

/// Stands for a byte that belongs to no well-formed character. It has no class.
inline constexpr char32_t kInvalidCharacter = 0x110000;
/// Shown in its place.
inline constexpr char32_t kReplacementCharacter = 0xFFFD;

/// Classes of every code point in one flat table, which costs a megabyte of address space of which
/// only the pages of the scripts in use are ever touched twice.
class CharacterClasses {
  public:
    static const CharacterClasses& instance();

    uint8_t of(char32_t code) const {
        return table_[code];
    }

  private:
    CharacterClasses();
    std::vector<uint8_t> table_;  // [0x110000 + 1]
};

struct Character {
    char32_t code;  // kInvalidCharacter: one byte that is not UTF-8
    uint32_t bytes;
};

/// The character at the front of `text`, which must not be empty (Unicode standard, table 3-7: no
/// overlong forms, no surrogates, nothing above U+10FFFF). A bad byte is a character of its own.
Character decode_long_character(std::string_view text);
inline Character decode_character(std::string_view text) {
    const unsigned char first = static_cast<unsigned char>(text.front());
    if (first < 0x80) return {first, 1};
    return decode_long_character(text);
}

/// Bytes at the front of `text` that more bytes could still complete to a character; 0 if the text
/// is empty, starts with a whole character, or with a byte that nothing can mend.
size_t incomplete_character_bytes(std::string_view text);

void append_utf8(char32_t code, std::string& out);

/// `bytes` with U+FFFD for each part that is not UTF-8 (one for each longest start of a character,
/// as the Unicode standard recommends in section 3.9).
std::string displayable(std::string_view bytes);

/// Runs of equal class, in order: first code point · 256 + classes. Generated.
std::span<const uint32_t> unicode_class_runs();

}  // namespace hadal::text
