#include "text/bpe_train.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "text/byte_letters.h"
#include "text/control_tokens.h"
#include "text/golden.h"

namespace hadal::text {
namespace {

Tokenizer trained(int threads, int64_t vocab_size) {
    const std::string corpus = read_file(test::text_data("corpus.txt"));
    const std::vector<std::string_view> documents = {corpus};
    ThreadPool pool(threads);
    return train_bpe(pool, documents, {.vocab_size = vocab_size});
}

TEST_CASE("bpe_train: learns the merges that the trainer of Hugging Face tokenizers learns") {
    const nlohmann::json golden = test::golden_json("trained.json");
    const int64_t vocab_size = golden["vocab_size"];
    const Tokenizer tokenizer = trained(2, vocab_size + int64_t(kLastTokens.size()));
    const std::vector<Merge>& merges = tokenizer.content().merges;
    REQUIRE(merges.size() == golden["merges"].size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        CAPTURE(rank);
        CHECK(to_byte_letters(tokenizer.token_bytes(merges[rank].left)) ==
              golden["merges"][rank][0].get<std::string>());
        CHECK(to_byte_letters(tokenizer.token_bytes(merges[rank].right)) ==
              golden["merges"][rank][1].get<std::string>());
    }
}

TEST_CASE("bpe_train: ids are laid out as in DeepSeek-V3") {
    const Tokenizer tokenizer = trained(1, 600);
    CHECK(tokenizer.vocab_size() == 600);
    CHECK(tokenizer.bos_id() == 0);
    CHECK(tokenizer.eos_id() == 1);
    CHECK(tokenizer.pad_id() == 2);
    CHECK(tokenizer.add_bos());
    CHECK(tokenizer.token_bytes(3) == "!");
    CHECK(tokenizer.id_of("<think>") == 583);
    CHECK(tokenizer.id_of(kFimHole) == 585);
    CHECK(tokenizer.id_of(kUser) == 588);
    CHECK(tokenizer.id_of("<｜tool▁sep｜>") == 599);
    const std::vector<int32_t> ids = tokenizer.encode("<｜User｜> x", /*parse_special=*/true);
    CHECK(ids.front() == 588);
    CHECK(tokenizer.decode(ids, /*skip_special=*/true) == " x");
}

TEST_CASE("bpe_train: the number of threads changes nothing") {
    const Tokenizer one = trained(1, 900);
    const Tokenizer four = trained(4, 900);
    CHECK(one.content().merges == four.content().merges);
    CHECK(one.content().tokens == four.content().tokens);
}

TEST_CASE("bpe_train: a text with few pairs gives a smaller vocabulary") {
    ThreadPool pool(1);
    const std::vector<std::string_view> documents = {"ab ab ab", ""};
    const Tokenizer tokenizer = train_bpe(pool, documents, {.vocab_size = 5000});
    CHECK(tokenizer.vocab_size() == 3 + 256 + 2 + 17);
    CHECK(tokenizer.decode(tokenizer.encode("ab ab\xFF")) == "ab ab\xFF");
}

TEST_CASE("bpe_train: refuses no text and a vocabulary without room") {
    ThreadPool pool(1);
    const std::vector<std::string_view> nothing = {"", ""};
    CHECK_THROWS_AS(train_bpe(pool, nothing), Error);
    const std::vector<std::string_view> documents = {"text"};
    CHECK_THROWS_AS(train_bpe(pool, documents, {.vocab_size = 276}), Error);
    CHECK_THROWS_AS(train_bpe(pool, documents, {.vocab_size = -1}), Error);
}

}  // namespace
}  // namespace hadal::text
