#include "text/detokenizer.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/random.h"
#include "text/golden.h"
#include "text/unicode.h"

namespace hadal::text {
namespace {

const Tokenizer& golden_tokenizer() {
    static const Tokenizer tokenizer = Tokenizer::load(test::text_data("golden/v3"));
    return tokenizer;
}

/// The id of each byte by itself.
std::vector<int32_t> byte_tokens(std::string_view bytes) {
    std::vector<int32_t> ids;
    for (size_t i = 0; i < bytes.size(); ++i) {
        ids.push_back(*golden_tokenizer().id_of(bytes.substr(i, 1)));
    }
    return ids;
}

TEST_CASE("detokenizer: a character comes out whole, as soon as its last byte is there") {
    Detokenizer detokenizer(golden_tokenizer());
    std::vector<std::string> pushed;
    for (const int32_t id : byte_tokens("a人😀é")) pushed.push_back(detokenizer.push(id));
    CHECK(pushed == std::vector<std::string>{"a", "", "", "人", "", "", "", "😀", "", "é"});
    CHECK(detokenizer.finish() == "");
}

TEST_CASE("detokenizer: what is not UTF-8 is shown as U+FFFD, or kept on request") {
    const std::vector<int32_t> ids = byte_tokens("\xFF\xE4\xBAz\xF0\x9F");
    for (const bool keep : {false, true}) {
        Detokenizer detokenizer(golden_tokenizer(), true,
                                keep ? Detokenizer::Invalid::keep : Detokenizer::Invalid::show);
        std::string text;
        for (const int32_t id : ids) text += detokenizer.push(id);
        text += detokenizer.finish();
        CHECK(text == (keep ? "\xFF\xE4\xBAz\xF0\x9F" : "\uFFFD\uFFFDz\uFFFD"));
    }
}

TEST_CASE("detokenizer: the stream is the text of all tokens at once") {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        RandomSequence draw(seed);
        std::vector<int32_t> ids;
        for (uint64_t i = draw.below(40); i > 0; --i) {
            ids.push_back(int32_t(draw.below(golden_tokenizer().vocab_size())));
        }
        const bool skip_special = draw.below(2) == 0;
        Detokenizer detokenizer(golden_tokenizer(), skip_special);
        std::string text;
        for (const int32_t id : ids) {
            const std::string part = detokenizer.push(id);
            CHECK(displayable(part) == part);
            text += part;
        }
        text += detokenizer.finish();
        CHECK(text == displayable(golden_tokenizer().decode(ids, skip_special)));
    }
}

TEST_CASE("detokenizer: control tokens are left out, or shown on request") {
    Detokenizer hiding(golden_tokenizer());
    Detokenizer showing(golden_tokenizer(), /*skip_special=*/false);
    CHECK(hiding.push(1) == "");
    CHECK(showing.push(1) == "<｜end▁of▁sentence｜>");
    CHECK(hiding.push(100000).empty());  // padding of a model's vocabulary
    CHECK_THROWS_AS(hiding.push(-1), Error);
}

}  // namespace
}  // namespace hadal::text
