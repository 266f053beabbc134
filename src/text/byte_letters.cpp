#include "text/byte_letters.h"

#include "text/unicode.h"

namespace hadal::text {
namespace {

// Printable characters of Latin-1 stand for themselves; the other 68 bytes, in order, for U+0100
// on.
constexpr bool stands_for_itself(unsigned byte) {
    return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct Alphabet {
    std::array<char32_t, 256> letter{};      // of a byte
    std::array<int16_t, 0x100 + 68> byte{};  // of a letter, -1: none
};

constexpr Alphabet make_alphabet() {
    Alphabet alphabet;
    for (int16_t& byte : alphabet.byte) byte = -1;
    char32_t next = 0x100;
    for (unsigned byte = 0; byte < 256; ++byte) {
        alphabet.letter[byte] = stands_for_itself(byte) ? char32_t(byte) : next++;
        alphabet.byte[alphabet.letter[byte]] = int16_t(byte);
    }
    return alphabet;
}

constexpr Alphabet kAlphabet = make_alphabet();

}  // namespace

std::string to_byte_letters(std::string_view bytes) {
    std::string letters;
    for (const char byte : bytes) {
        append_utf8(kAlphabet.letter[static_cast<unsigned char>(byte)], letters);
    }
    return letters;
}

std::optional<std::string> from_byte_letters(std::string_view letters) {
    std::string bytes;
    while (!letters.empty()) {
        const Character character = decode_character(letters);
        if (character.code >= kAlphabet.byte.size() || kAlphabet.byte[character.code] < 0)
            return {};
        bytes += char(kAlphabet.byte[character.code]);
        letters.remove_prefix(character.bytes);
    }
    return bytes;
}

std::array<uint8_t, 256> bytes_in_letter_order() {
    std::array<uint8_t, 256> order{};
    size_t count = 0;
    for (const int16_t byte : kAlphabet.byte) {
        if (byte >= 0) order[count++] = uint8_t(byte);
    }
    return order;
}

}  // namespace hadal::text
