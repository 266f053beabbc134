#include "text/pretokenizer.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/random.h"
#include "text/golden.h"
#include "text/tokenizer_json.h"
#include "text/unicode.h"

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

/// The split sequence of a tokenizer.json with this pre-tokenizer.
std::vector<Split> splits_of(const nlohmann::json& pre_tokenizer) {
    nlohmann::json file = test::golden_json("v3/tokenizer.json");
    file["pre_tokenizer"] = pre_tokenizer;
    const test::Folder folder;
    write_file_atomically(folder.path() / "tokenizer.json", file.dump());
    return read_tokenizer(folder.path()).splits;
}

TEST_CASE("pretokenizer: pieces under other models' patterns are those of Hugging Face") {
    const nlohmann::json cases = test::golden_json("v3/cases.json");
    for (const nlohmann::json& foreign : test::golden_json("foreign.json")) {
        const std::string name = foreign["name"];
        const Pretokenizer pretokenizer(splits_of(foreign["pre_tokenizer"]));
        for (size_t i = 0; i < cases["plain"].size(); ++i) {
            const std::string text = cases["plain"][i]["text"];
            CAPTURE(name);
            CAPTURE(text);
            CHECK(ends_of(pretokenizer, text) == foreign["ends"][i].get<std::vector<size_t>>());
        }
    }
}

/// V3's sequence with an equal fourth split, so that PCRE2 runs it.
Pretokenizer v3_on_pcre2() {
    std::vector<Split> splits = v3_splits();
    splits.push_back({Split::Kind::digits, ""});
    return Pretokenizer(splits);
}

TEST_CASE("pretokenizer: V3's splits by hand and by PCRE2 agree on every character") {
    const Pretokenizer by_hand(v3_splits());
    const Pretokenizer by_pcre2 = v3_on_pcre2();
    std::string text;
    for (char32_t code = 1; code < 0x32000; ++code) {
        if (code >= 0xD800 && code < 0xE000) continue;
        // What our version of Unicode leaves open, PCRE2's may know.
        const bool stable = code < 0x300 || (code >= 0x2000 && code < 0x2070);
        if (CharacterClasses::instance().of(code) == 0 && !stable) continue;
        append_utf8(code, text);
        // Before and after a word, a sign, a space.
        for (const char* neighbour : {"a", "!", " "}) {
            text += neighbour;
            append_utf8(code, text);
        }
        text += code % 3 == 0 ? "\n" : "z";
    }
    CHECK(ends_of(by_hand, text) == ends_of(by_pcre2, text));
}

TEST_CASE("pretokenizer: V3's splits by hand and by PCRE2 agree on random text") {
    const Pretokenizer by_hand(v3_splits());
    const Pretokenizer by_pcre2 = v3_on_pcre2();
    const std::vector<std::string> parts = {
        "a", "Z",  "é",  "ж",  "\u0301", "\u093f", "1",      "٣",      "½",      " ",      " ",
        " ", "\n", "\r", "\t", "\u00a0", "\u3000", "\u2028", "\u0085", "\u180e", "\u200b", "!",
        "'", ".",  "$",  "€",  "。",     "人",     "カ",     "・",     "゛",     "\u3040", "😀"};
    for (uint64_t seed = 0; seed < 3000; ++seed) {
        RandomSequence draw(seed);
        std::string text;
        for (uint64_t i = draw.below(30); i > 0; --i) text += parts[draw.below(parts.size())];
        CAPTURE(text);
        CHECK(ends_of(by_hand, text) == ends_of(by_pcre2, text));
    }
}

TEST_CASE("pretokenizer: bytes that are not UTF-8 stay in the pieces") {
    std::vector<Pretokenizer> pretokenizers;
    pretokenizers.emplace_back(v3_splits());
    pretokenizers.push_back(v3_on_pcre2());
    pretokenizers.emplace_back(std::vector<Split>{{Split::Kind::byte_level, ""}});
    for (uint64_t seed = 0; seed < 500; ++seed) {
        RandomSequence draw(seed);
        std::string text;
        for (uint64_t i = draw.below(60); i > 0; --i) {
            text += char(draw.below(2) == 0 ? draw.below(256) : 0x20 + draw.below(0x60));
        }
        for (const Pretokenizer& pretokenizer : pretokenizers) {
            std::vector<std::string_view> pieces;
            pretokenizer.split(text, pieces);
            std::string joined;
            for (const std::string_view piece : pieces) {
                CHECK(!piece.empty());
                joined += piece;
            }
            CHECK(joined == text);
        }
    }
}

TEST_CASE("pretokenizer: an expression that PCRE2 does not know is refused") {
    const std::vector<Split> splits = {{Split::Kind::regex, "(unclosed"}};
    CHECK_THROWS_WITH_AS(Pretokenizer{splits}, doctest::Contains("(unclosed"), Error);
}

}  // namespace
}  // namespace hadal::text
