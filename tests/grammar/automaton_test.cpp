#include "grammar/automaton.h"

#include "grammar/ebnf.h"
#include "grammar/regex.h"
#include "grammar/support.h"

using namespace hadal;
using namespace hadal::grammar;
using grammar::test::matches;

TEST_CASE("ebnf: rules, groups, classes, repetition and comments") {
    Matcher matcher(compile(parse_ebnf(R"(
        # the end first
        reason ::= " because " [a-z ]+ "."
        root   ::= "yes"
                 | "no" reason{1,2}   # a choice over two lines
    )")));
    CHECK(matches(matcher, "yes"));
    CHECK(matches(matcher, "no because it is late."));
    CHECK(matches(matcher, "no because a. because b."));
    CHECK_FALSE(matches(matcher, "no"));
    CHECK_FALSE(matches(matcher, "yes because x."));
    CHECK_FALSE(matches(matcher, "no because A."));
}

TEST_CASE("ebnf: a rule may contain itself") {
    Matcher nested(compile(parse_ebnf("root ::= \"(\" root \")\" | \"\"")));
    std::string text;
    for (int depth = 0; depth < 300; ++depth) {
        REQUIRE(matches(nested, text));
        REQUIRE_FALSE(matches(nested, text + ")"));
        text = "(" + text + ")";
    }
    Matcher list(compile(parse_ebnf("root ::= [0-9] (\",\" root)?")));
    std::string numbers = "1";
    for (int i = 0; i < 3000; ++i) numbers += ",2";
    CHECK(matches(list, numbers));
    CHECK_FALSE(matches(list, numbers + ","));
}

TEST_CASE("ebnf: what cannot be read or never decided is refused") {
    const std::pair<const char*, const char*> cases[] = {
        {"", "no rule 'root'"},
        {"a ::= \"x\"", "no rule 'root'"},
        {"root ::= a", "no rule 'a'"},
        {"root ::= \"a", "without its end"},
        {"root ::= (\"a\"", "without its )"},
        {"root \"a\"", "wants ::="},
        {"root ::= !", "wants a string"},
        {"root ::= root \"a\" | \"b\"", "begins with itself"},
        {"root ::= e root | \"b\"\ne ::= \"\" | \"c\"", "begins with itself"},
        {"root ::= a\na ::= b\nb ::= a", "begins with itself"},
        {"root ::= \"a\"\nroot ::= \"b\"", "exists twice"},
        {"root ::= ((([a-z]{1000}){1000}){1000})", "too large"}};
    for (const auto& [source, reason] : cases) {
        CAPTURE(source);
        CHECK_THROWS_WITH_AS(compile(parse_ebnf(source)), doctest::Contains(reason), Error);
    }
}

TEST_CASE("matcher: an ambiguous grammar ends in an error, not in memory") {
    Matcher explosive(compile(parse_ebnf("root ::= ([ab]* \"a\" [ab]{20})")));
    RandomSequence random(1);
    Position position = explosive.start();
    CHECK_THROWS_WITH_AS(
        [&] {
            for (int i = 0; i < 1'000'000; ++i) {
                position = explosive.next(position, random.below(2) == 0 ? 'a' : 'b');
            }
        }(),
        doctest::Contains("positions"), Error);
}

TEST_CASE("matcher: says where a text must end") {
    Matcher matcher(compile(parse_ebnf("root ::= \"ab\" | \"abc\"")));
    Position position = matcher.start();
    CHECK_FALSE(matcher.may_end(position));
    for (const char c : {'a', 'b'}) position = matcher.next(position, uint8_t(c));
    CHECK(matcher.may_end(position));
    CHECK_FALSE(matcher.must_end(position));
    position = matcher.next(position, 'c');
    CHECK(matcher.must_end(position));
    CHECK(matcher.next(position, 'd') == kDead);
}
