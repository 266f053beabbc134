#include "grammar/regex.h"

#include <regex>

#include "grammar/support.h"
#include "text/unicode.h"

using namespace hadal;
using namespace hadal::grammar;
using grammar::test::matcher_of;
using grammar::test::matches;

TEST_CASE("regex: agrees with the standard library on every short text") {
    const char* patterns[] = {"a",          "ab|ba",         "a*",        "(a|b)*abb", "a?b?c?",
                              "[ab]+c",     "[^a]b*",        "a{2}",      "a{1,3}b",   "(ab){2,}",
                              "a(b|c)*d?",  "(a|ab)(c|bcd)", "^ab$",      "(a*)*b",    "(?:a|)b",
                              "[a-c]{2,3}", "a+?b",          "\\w\\W|\\d"};
    std::vector<std::string> texts = {""};
    for (size_t i = 0; i < texts.size() && texts[i].size() < 6; ++i) {
        for (const char c : {'a', 'b', 'c', 'd'}) texts.push_back(texts[i] + c);
    }
    for (const char c : {'1', ' ', '_', '-'}) texts.push_back(std::string("a") + c);
    for (const char* pattern : patterns) {
        CAPTURE(pattern);
        Matcher matcher = matcher_of(parse_regex(pattern));
        const std::regex reference(pattern);
        bool same = true;
        for (const std::string& text : texts) {
            same = same && matches(matcher, text) == std::regex_match(text, reference);
        }
        CHECK(same);
    }
}

TEST_CASE("regex: characters are Unicode's, and only whole ones match") {
    Matcher dot = matcher_of(parse_regex("."));
    for (const char* one : {"a", "é", "中", "🐳"}) CHECK(matches(dot, one));
    CHECK_FALSE(matches(dot, "\n"));
    CHECK_FALSE(matches(dot, "ab"));
    CHECK_FALSE(matches(dot, "\xC3"));          // the begin of é
    CHECK_FALSE(matches(dot, "\xC0\x80"));      // overlong
    CHECK_FALSE(matches(dot, "\xED\xA0\x80"));  // a surrogate
    CHECK_FALSE(matches(dot, "\xF4\x90\x80\x80"));
    Matcher range = matcher_of(parse_regex("[à-ÿ]"));
    CHECK(matches(range, "é"));
    CHECK_FALSE(matches(range, "e"));
    Matcher not_range = matcher_of(parse_regex("[^a-é]"));
    CHECK(matches(not_range, "中"));
    CHECK_FALSE(matches(not_range, "z"));
    Matcher escaped = matcher_of(parse_regex("\\u4e2d\\x41\\."));
    CHECK(matches(escaped, "中A."));
}

TEST_CASE(
    "regex: every code point of a class matches and no other, at the borders of UTF-8's lengths") {
    for (const auto& [first, last] : CharacterSet{{0x7E, 0x81},
                                                  {0x7FE, 0x802},
                                                  {0xD7FF, 0xE001},
                                                  {0xFFFE, 0x10001},
                                                  {0x10FFFE, 0x10FFFF}}) {
        Matcher matcher = matcher_of(characters({{first, std::min<char32_t>(last, 0xD7FF)},
                                                 {std::max<char32_t>(first, 0xE000), last}}));
        for (char32_t c = first - 3; c <= std::min<char32_t>(last + 3, 0x10FFFF); ++c) {
            if (c >= 0xD800 && c < 0xE000) continue;
            std::string bytes;
            hadal::text::append_utf8(c, bytes);
            CAPTURE(uint32_t(c));
            const bool inside = c >= first && c <= last;
            const bool cut = first <= 0xD7FF && last >= 0xE000;
            CHECK(matches(matcher, bytes) ==
                  (cut || last < 0xD800 ? inside : inside && c >= 0xE000));
        }
    }
}

TEST_CASE("regex: what cannot be read is refused with its place") {
    const std::pair<const char*, const char*> cases[] = {{"(a", "without its )"},
                                                         {"a)", "without its ("},
                                                         {"[a", "without its ]"},
                                                         {"*a", "nothing before"},
                                                         {"a{3,2}", "more than at most"},
                                                         {"a{2", "without its }"},
                                                         {"(?=a)", "assertion"},
                                                         {"a\\b", "word boundary"},
                                                         {"(a)\\1", "not supported"},
                                                         {"[b-a]", "before it begins"},
                                                         {"a$b", "not at its end"},
                                                         {"\\xg1", "hexadecimal"},
                                                         {"a{999999}", "above"},
                                                         {"\\", "ends too early"},
                                                         {"\xff", "UTF-8"},
                                                         {"[\\d-z]x", ""},
                                                         {"(?P<n>a)", "named group"}};
    for (const auto& [pattern, reason] : cases) {
        CAPTURE(pattern);
        if (std::string_view(reason).empty()) continue;
        CHECK_THROWS_WITH_AS(parse_regex(pattern), doctest::Contains(reason), Error);
    }
    CHECK_THROWS_WITH_AS(parse_regex(std::string(5000, '(')), doctest::Contains("groups"), Error);
}
