#include "text/tokenizer.h"

#include <doctest/doctest.h>

#include <set>

#include "core/error.h"
#include "core/random.h"
#include "core/thread_pool.h"
#include "text/golden.h"

namespace hadal::text {
namespace {

const Tokenizer& golden_tokenizer() {
    static const Tokenizer tokenizer = Tokenizer::load(test::text_data("golden/v3"));
    return tokenizer;
}

TEST_CASE("tokenizer: ids are those of Hugging Face tokenizers") {
    const Tokenizer& tokenizer = golden_tokenizer();
    const nlohmann::json cases = test::golden_json("v3/cases.json");
    for (const nlohmann::json& one : cases["plain"]) {
        const std::string text = one["text"];
        CAPTURE(text);
        CHECK(tokenizer.encode(text) == one["ids"].get<std::vector<int32_t>>());
        CHECK(tokenizer.decode(tokenizer.encode(text)) == text);
    }
}

TEST_CASE("tokenizer: added tokens in text are found as Hugging Face tokenizers does") {
    const nlohmann::json cases = test::golden_json("v3/cases.json");
    for (const nlohmann::json& one : cases["special"]) {
        const std::string text = one["text"];
        CAPTURE(text);
        CHECK(golden_tokenizer().encode(text, /*parse_special=*/true) ==
              one["ids"].get<std::vector<int32_t>>());
    }
}

TEST_CASE("tokenizer: text never becomes an added token unless asked") {
    const Tokenizer& tokenizer = golden_tokenizer();
    std::set<int32_t> added;
    std::string all;
    for (const AddedToken& token : tokenizer.content().added_tokens) {
        added.insert(token.id);
        all += token.content + " ";
    }
    const std::vector<int32_t> ids = tokenizer.encode(all);
    for (const int32_t id : ids) CHECK(added.count(id) == 0);
    CHECK(tokenizer.decode(ids) == all);
}

TEST_CASE("tokenizer: any bytes come back as they were") {
    for (uint64_t seed = 0; seed < 400; ++seed) {
        RandomSequence draw(seed);
        // Bytes of all kinds; letters only; starts of long characters among ASCII.
        const uint64_t kind = draw.below(3);
        std::string bytes;
        for (uint64_t i = draw.below(300); i > 0; --i) {
            const uint64_t byte = kind == 0            ? draw.below(256)
                                  : kind == 1          ? 'a' + draw.below(26)
                                  : draw.below(3) == 0 ? 0x80 + draw.below(128)
                                                       : 0x20 + draw.below(95);
            bytes += char(byte);
        }
        CAPTURE(seed);
        CHECK(golden_tokenizer().decode(golden_tokenizer().encode(bytes)) == bytes);
        CHECK(golden_tokenizer().decode(golden_tokenizer().encode(bytes)) == bytes);
    }
}

TEST_CASE("tokenizer: long text in parts gives the ids of the whole") {
    const std::string corpus = read_file(test::text_data("corpus.txt"));
    std::string text;
    while (text.size() < 300000) text += corpus;
    std::vector<int32_t> once = golden_tokenizer().encode(corpus);
    std::vector<int32_t> expected;
    while (expected.size() < once.size() * (text.size() / corpus.size())) {
        expected.insert(expected.end(), once.begin(), once.end());
    }
    // The corpus ends with a line break and starts with a letter: its copies do not touch.
    CHECK(golden_tokenizer().encode(text) == expected);
}

TEST_CASE("tokenizer: threads may share one") {
    const std::string corpus = read_file(test::text_data("corpus.txt"));
    ThreadPool pool(4);
    for (const std::vector<Split>& splits :
         {v3_splits(), std::vector<Split>{{Split::Kind::byte_level, ""}}}) {
        TokenizerContent content = golden_tokenizer().content();
        content.splits = splits;
        const Tokenizer tokenizer(std::move(content));
        const std::vector<int32_t> expected = tokenizer.encode(corpus);
        std::vector<char> same(64);
        pool.parallel_for(int64_t(same.size()), [&](int64_t i) {
            same[size_t(i)] = char(tokenizer.encode(corpus) == expected);
        });
        CHECK(same == std::vector<char>(64, 1));
    }
}

TEST_CASE("tokenizer: control tokens, sizes and names") {
    const Tokenizer& tokenizer = golden_tokenizer();
    CHECK(tokenizer.bos_id() == 0);
    CHECK(tokenizer.eos_id() == 1);
    CHECK(tokenizer.pad_id() == 2);
    CHECK(tokenizer.add_bos());
    CHECK(tokenizer.vocab_size() == 666);
    CHECK(tokenizer.id_of("<｜User｜>") == 661);
    CHECK(tokenizer.id_of("no such token") == std::nullopt);
    CHECK(tokenizer.token_bytes(*tokenizer.id_of(" the")) == " the");
    CHECK(tokenizer.decode(std::vector<int32_t>{0, *tokenizer.id_of(" the"), 1}, true) == " the");
    CHECK_THROWS_AS(tokenizer.token_bytes(666), Error);
    CHECK_THROWS_AS(tokenizer.decode(std::vector<int32_t>{-1}), Error);
}

}  // namespace
}  // namespace hadal::text
