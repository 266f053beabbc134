#include "text/added_tokens.h"

#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "core/random.h"
#include "text/tokenizer.h"

using namespace hadal::text;

namespace {

/// "text" or "<id>", part after part.
std::vector<std::string> parts_of(const AddedTokenFinder& finder, std::string_view text) {
    std::vector<std::string> shown;
    for (const auto& part : finder.split(text)) {
        shown.push_back(part.token ? "<" + std::to_string(part.token->id) + ">"
                                   : std::string(part.text));
    }
    return shown;
}

using Parts = std::vector<std::string>;

}  // namespace

TEST_CASE("added tokens: the leftmost is found first, and the longest of those that start there") {
    const std::vector<AddedToken> tokens = {
        {.id = 1, .content = "<a>"}, {.id = 2, .content = "<a><b>"}, {.id = 3, .content = "<b>"}};
    const AddedTokenFinder finder(tokens);
    CHECK(parts_of(finder, "x<a>y") == Parts{"x", "<1>", "y"});
    CHECK(parts_of(finder, "<a><b><b>") == Parts{"<2>", "<3>"});
    CHECK(parts_of(finder, "<a><a><b") == Parts{"<1>", "<1>", "<b"});
    CHECK(parts_of(finder, "<<a>>") == Parts{"<", "<1>", ">"});
    CHECK(parts_of(finder, "") == Parts{});
    CHECK(parts_of(finder, "plain") == Parts{"plain"});
}

TEST_CASE("added tokens: a token takes the white space that it strips, and no more") {
    const std::vector<AddedToken> tokens = {{.id = 1, .content = "<l>", .strip_left = true},
                                            {.id = 2, .content = "<r>", .strip_right = true}};
    const AddedTokenFinder finder(tokens);
    CHECK(parts_of(finder, "a  <l> b") == Parts{"a", "<1>", " b"});
    CHECK(parts_of(finder, "a <r>  b") == Parts{"a ", "<2>", "b"});
    CHECK(parts_of(finder, " \n<l>") == Parts{"<1>"});
    CHECK(parts_of(finder, "<r> <l>") == Parts{"<2>", "<1>"});
}

TEST_CASE("added tokens: a single word is not found inside another") {
    const std::vector<AddedToken> tokens = {{.id = 1, .content = "word", .single_word = true}};
    const AddedTokenFinder finder(tokens);
    CHECK(parts_of(finder, "a word.") == Parts{"a ", "<1>", "."});
    CHECK(parts_of(finder, "sword wordy") == Parts{"sword wordy"});
    CHECK(parts_of(finder, "word") == Parts{"<1>"});
}

TEST_CASE("added tokens: normalized ones are looked for where none of the others matched") {
    const std::vector<AddedToken> tokens = {{.id = 1, .content = "ab", .normalized = true},
                                            {.id = 2, .content = "bc"}};
    const AddedTokenFinder finder(tokens);
    // By place alone "ab" would come first.
    CHECK(parts_of(finder, "abc") == Parts{"a", "<2>"});
    CHECK(parts_of(finder, "abab") == Parts{"<1>", "<1>"});
}

TEST_CASE(
    "added tokens: without stripping, the parts are the text, and no plain part holds a token") {
    const std::vector<AddedToken> tokens = {
        {.id = 1, .content = "ab"}, {.id = 2, .content = "aba"}, {.id = 3, .content = "bb"}};
    const AddedTokenFinder finder(tokens);
    hadal::RandomSequence random(3);
    for (int round = 0; round < 300; ++round) {
        std::string text;
        for (uint64_t i = random.below(20); i-- > 0;) text += char('a' + random.below(3));
        CAPTURE(text);
        std::string joined;
        for (const auto& part : finder.split(text)) {
            REQUIRE(!part.text.empty());
            joined += part.text;
            if (part.token) {
                REQUIRE(part.text == part.token->content);
                continue;
            }
            for (const AddedToken& token : tokens)
                REQUIRE(part.text.find(token.content) == std::string::npos);
        }
        REQUIRE(joined == text);
    }
}
