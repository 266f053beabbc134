#include "grammar/token_mask.h"

#include <thread>

#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/support.h"

using namespace hadal;
using namespace hadal::grammar;

namespace {

bool allows(const TokenMask& mask, size_t id) {
    return (mask[id / 64] >> id % 64 & 1) != 0;
}

std::vector<std::string> random_tokens(uint64_t seed) {
    RandomSequence random(seed);
    std::vector<std::string> tokens = {"", "{", "}", "\"", "[", "]", ":", ",", " ", "true"};
    const std::string letters = "{}[]\":, \\u0123abtrue\xC3\xA9\n";
    while (tokens.size() < 400) {
        std::string token;
        for (uint64_t n = 1 + random.below(5); n > 0; --n)
            token += letters[random.below(letters.size())];
        tokens.push_back(token);
    }
    return tokens;
}

}  // namespace

TEST_CASE("token mask: allows exactly the tokens whose bytes may follow") {
    const auto tokens = random_tokens(1);
    const auto vocabulary = std::make_shared<const Vocabulary>(tokens);
    const Automaton automaton = compile(json_object_grammar());
    TokenMasks masks(vocabulary, automaton);
    Matcher reference(automaton);
    for (const std::string text :
         {"", "{", "{\"a", "{\"a\":", "{\"a\":[1,", "{\"\\", "{\"\\u00", "{\"\xC3"}) {
        CAPTURE(text);
        const Position position = masks.next(masks.start(), text);
        REQUIRE(position != kDead);
        const auto mask = masks.mask(position);
        for (size_t id = 0; id < tokens.size(); ++id) {
            Position there = reference.start();
            for (const char byte : text + tokens[id]) {
                if (there != kDead) there = reference.next(there, uint8_t(byte));
            }
            CAPTURE(tokens[id]);
            CHECK(allows(*mask, id) == (there != kDead && !tokens[id].empty()));
        }
        CHECK(masks.mask(position) == mask);  // kept
    }
}

TEST_CASE("token mask: many positions keep a bounded number of masks, all of them right") {
    std::vector<std::string> tokens = {"(", ")", "((", "))", "()"};
    TokenMasks masks(std::make_shared<const Vocabulary>(tokens),
                     compile(parse_ebnf("root ::= \"(\" root? \")\"")));
    Position position = masks.start();
    for (size_t depth = 0; depth < 2 * TokenMasks::kKept; ++depth) {
        const auto mask = masks.mask(position);
        CHECK(allows(*mask, 0));
        CHECK(allows(*mask, 1) == (depth > 0));
        CHECK(allows(*mask, 3) == (depth > 1));
        position = masks.next(position, "(");
    }
    CHECK(masks.next(masks.start(), ")") == kDead);
}

TEST_CASE("token mask: several threads may ask at one time") {
    const auto tokens = random_tokens(2);
    TokenMasks masks(std::make_shared<const Vocabulary>(tokens), compile(json_object_grammar()));
    std::vector<std::thread> threads;
    std::vector<TokenMask> results(4);
    for (size_t t = 0; t < results.size(); ++t) {
        threads.emplace_back([&, t] {
            Position position = masks.start();
            for (const char* piece : {"{\"", "a", "\": ", "[1, ", "{"}) {
                position = masks.next(position, piece);
                results[t] = *masks.mask(position);
            }
        });
    }
    for (std::thread& thread : threads) thread.join();
    for (const TokenMask& result : results) CHECK(result == results[0]);
}
