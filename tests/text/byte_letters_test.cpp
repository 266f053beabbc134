#include "text/byte_letters.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <set>
#include <string>

#include "core/random.h"

using namespace hadal::text;

TEST_CASE("byte letters: spellings that every byte-level vocabulary has") {
    CHECK(to_byte_letters(" hello") == "Ġhello");
    CHECK(to_byte_letters("\n") == "Ċ");
    CHECK(to_byte_letters("\t") == "ĉ");
    CHECK(to_byte_letters("a~!") == "a~!");
    CHECK(to_byte_letters("é") == "Ã©");
    CHECK(to_byte_letters(std::string("\0", 1)) == "Ā");
    CHECK(to_byte_letters("\xAD") ==
          "Ń");  // the soft hyphen is the last without a letter of its own
}

TEST_CASE("byte letters: any bytes come back, and each byte has a letter of its own") {
    std::string all;
    std::set<std::string> letters;
    for (int byte = 0; byte < 256; ++byte) {
        all += char(byte);
        letters.insert(to_byte_letters(std::string(1, char(byte))));
    }
    CHECK(letters.size() == 256);
    CHECK(from_byte_letters(to_byte_letters(all)) == all);
    hadal::RandomSequence random(1);
    for (int round = 0; round < 50; ++round) {
        std::string bytes;
        for (uint64_t i = random.below(40); i-- > 0;) bytes += char(random.below(256));
        CHECK(from_byte_letters(to_byte_letters(bytes)) == bytes);
    }
}

TEST_CASE("byte letters: what is outside the alphabet is no spelling of bytes") {
    for (const char* text : {" ", "a b", "\n", "漢", "Ń\x7F", "\xC3", "Ġ\xFF", "😀"}) {
        CAPTURE(text);
        CHECK(!from_byte_letters(text));
    }
    CHECK(from_byte_letters("") == "");
}

TEST_CASE("byte letters: their order begins with the printable bytes and holds each byte once") {
    const auto order = bytes_in_letter_order();
    CHECK(order[0] == '!');
    CHECK(order[1] == '"');
    CHECK(std::set<uint8_t>(order.begin(), order.end()).size() == 256);
    // U+0021 … U+00FF in order first, then the bytes that were given letters from U+0100 on.
    const auto moved = std::find(order.begin(), order.end(), uint8_t(0));
    CHECK(std::is_sorted(order.begin(), moved));
    CHECK(std::is_sorted(moved, order.end()));
    CHECK(moved - order.begin() == 188);
}
