#include "checkpoint/digest.h"

#include <doctest/doctest.h>

#include <string>

namespace {

uint64_t digest_of(const std::string& text) {
    return hadal::checkpoint::digest(std::as_bytes(std::span(text)));
}

}  // namespace

TEST_CASE("digest: gives the specification's values") {
    CHECK(digest_of("") == 0xEF46DB3751D8E999);
    CHECK(digest_of("a") == 0xD24EC4F1A98C6E5B);
    CHECK(digest_of("abc") == 0x44BC2CF5AD770999);
    const auto counting = [](size_t length) {
        std::string text;
        for (size_t i = 0; i < length; ++i) text += char(i * 7 + 1);
        return text;
    };
    // From the reference implementation, version 0.8.1.
    CHECK(digest_of(counting(31)) == 0x6AB1C40E29F50073);
    CHECK(digest_of(counting(32)) == 0x5A0756FBE9ECD3D1);
    CHECK(digest_of(counting(100)) == 0xD248BFC5208B0B16);
    CHECK(digest_of(counting(1000)) == 0x6BE03ACBF959C413);
}

TEST_CASE("digest: any byte of any length matters") {
    for (const size_t length : {1, 3, 4, 7, 8, 31, 32, 33, 63, 64, 100}) {
        std::string text(length, 'x');
        const uint64_t before = digest_of(text);
        for (size_t i = 0; i < length; ++i) {
            text[i] = 'y';
            CHECK(digest_of(text) != before);
            text[i] = 'x';
        }
        CHECK(digest_of(text + 'x') != before);
    }
}
