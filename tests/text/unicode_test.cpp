#include "text/unicode.h"

#include <doctest/doctest.h>

#include "text/byte_letters.h"

namespace hadal::text {
namespace {

TEST_CASE("unicode: every code point comes back from its bytes") {
    for (char32_t code = 0; code < 0x110000; ++code) {
        if (code >= 0xD800 && code < 0xE000) continue;
        std::string bytes;
        append_utf8(code, bytes);
        const Character character = decode_character(bytes + "x");
        if (character.code != code || character.bytes != bytes.size()) FAIL(uint32_t(code));
    }
}

TEST_CASE("unicode: overlong, surrogate, truncated and stray bytes are bad bytes") {
    for (const std::string_view bad :
         {"\x80", "\xBF", "\xC0\xAF", "\xC1\xBF", "\xE0\x9F\xBF", "\xED\xA0\x80",
          "\xF0\x8F\xBF\xBF", "\xF4\x90\x80\x80", "\xF5\x80\x80\x80", "\xFF", "\xE4\xBA", "\xC3",
          "\xF0\x9F\x98", "\xE4z", "\xE4\xBAz"}) {
        CAPTURE(bad.size());
        CHECK(decode_character(bad).code == kInvalidCharacter);
        CHECK(decode_character(bad).bytes == 1);
    }
}

TEST_CASE("unicode: classes of characters from every corner") {
    const CharacterClasses& classes = CharacterClasses::instance();
    CHECK(classes.of('a') == kLetter);
    CHECK(classes.of(U'人') == kLetter);
    CHECK(classes.of(0x0301) == kMark);
    CHECK(classes.of('7') == kNumber);
    CHECK(classes.of(U'½') == kNumber);
    CHECK(classes.of('_') == kPunctuation);
    CHECK(classes.of(U'。') == kPunctuation);
    CHECK(classes.of('$') == kSymbol);
    CHECK(classes.of(0x1F600) == kSymbol);
    for (const char32_t space : {0x09, 0x0A, 0x0D, 0x20, 0x85, 0xA0, 0x2003, 0x2028, 0x3000}) {
        CHECK(classes.of(space) == kSpace);
    }
    for (const char32_t none : {0x00, 0x1F, 0x7F, 0x200B, 0x180E, 0xFEFF, 0xE000, 0x0378}) {
        CHECK(classes.of(none) == 0);
    }
    CHECK(classes.of(0x10FFFF) == 0);
    CHECK(classes.of(kInvalidCharacter) == 0);
}

TEST_CASE("unicode: one U+FFFD for each longest start of a character") {
    // The example of the Unicode standard, section 3.9, table 3-8, and a truncated end.
    CHECK(displayable("\xC0\xAF\xE0\x80\xBF\xF0\x81\x82"
                      "A") == "\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFD\uFFFDA");
    CHECK(displayable("\xE1\x80\xE2\xF0\x91\x92\xF1\xBF"
                      "A") == "\uFFFD\uFFFD\uFFFD\uFFFDA");
    CHECK(displayable("é\xE4\xBA") == "é\uFFFD");
}

TEST_CASE("unicode: bytes that may still become a character") {
    CHECK(incomplete_character_bytes("\xE4\xBA") == 2);
    CHECK(incomplete_character_bytes("\xF0") == 1);
    CHECK(incomplete_character_bytes("\xE4\xBA\xBA") == 0);
    CHECK(incomplete_character_bytes("\xE4z") == 0);
    CHECK(incomplete_character_bytes("\xFF") == 0);
    CHECK(incomplete_character_bytes("a") == 0);
    CHECK(incomplete_character_bytes("") == 0);
}

TEST_CASE("byte_letters: all bytes have a letter of their own, as in GPT-2") {
    std::string bytes;
    for (int byte = 0; byte < 256; ++byte) bytes += char(byte);
    CHECK(from_byte_letters(to_byte_letters(bytes)) == bytes);
    CHECK(to_byte_letters(" a\n\x7F\xA0\xAD\xFF") == "ĠaĊġłŃÿ");
    CHECK(from_byte_letters("a b") == std::nullopt);
    CHECK(from_byte_letters("人") == std::nullopt);
    const std::array<uint8_t, 256> order = bytes_in_letter_order();
    CHECK(order[0] == '!');
    CHECK(order[188] == 0);
    CHECK(order[255] == 0xAD);
}

}  // namespace
}  // namespace hadal::text
