#include "text/pretokenizer.h"

#include <doctest/doctest.h>

#include "core/random.h"
#include "text/golden.h"

namespace hadal::text {
namespace {

std::vector<size_t> ends_of(const Pretokenizer& pretokenizer, std::string_view text) {
    std::vector<std::string_view> pieces;
    pretokenizer.split(text, pieces);
    return test::piece_ends(pieces);
}

TEST_CASE("pretokenizer: V3's pieces are those of Hugging Face tokenizers") {
    const Pretokenizer pretokenizer(v3_splits());
    const nlohmann::json cases = test::golden_json("v3/cases.json");
    for (const nlohmann::json& one : cases["plain"]) {
        const std::string text = one["text"];
        CAPTURE(text);
        CHECK(ends_of(pretokenizer, text) == one["ends"].get<std::vector<size_t>>());
    }
}

TEST_CASE("pretokenizer: a safe cut changes no piece") {
    const Pretokenizer pretokenizer(v3_splits());
    const std::string letters = "ab \n\n\r\t1.!\xC3\xA9";
    for (uint64_t seed = 0; seed < 500; ++seed) {
        RandomSequence draw(seed);
        std::string text;
        for (int i = 0; i < 40; ++i) text += letters[draw.below(letters.size())];
        const size_t cut = pretokenizer.safe_cut(text, draw.below(text.size()));
        std::vector<size_t> ends = ends_of(pretokenizer, std::string_view(text).substr(0, cut));
        for (const size_t end : ends_of(pretokenizer, std::string_view(text).substr(cut))) {
            ends.push_back(cut + end);
        }
        CAPTURE(seed);
        CHECK(ends == ends_of(pretokenizer, text));
    }
}

}  // namespace
}  // namespace hadal::text
