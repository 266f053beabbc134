#include "data/encoder.h"

#include <doctest/doctest.h>

#include <string_view>

#include "core/thread_pool.h"
#include "data/support.h"
#include "text/bpe_train.h"
#include "text/control_tokens.h"

using namespace hadal;
using namespace hadal::data;

TEST_CASE("encoder: markers are the tokenizer's, and a text that spells one stays text") {
    ThreadPool threads(1);
    const std::string_view documents[] = {"some words, some more words and the same words again"};
    const text::Tokenizer tokenizer = text::train_bpe(threads, documents, {.vocab_size = 300});
    const Encoder encoder = encoder_of(tokenizer);
    CHECK(encoder.vocab_size == tokenizer.vocab_size());
    CHECK(encoder.eos == tokenizer.id_of(text::kEndOfSentence));
    CHECK(encoder.bos == tokenizer.id_of(text::kBeginOfSentence));
    REQUIRE(encoder.middle);
    CHECK(encoder.middle->begin == tokenizer.id_of(text::kFimBegin));
    CHECK(encoder.middle->hole == tokenizer.id_of(text::kFimHole));
    CHECK(encoder.middle->end == tokenizer.id_of(text::kFimEnd));
    const std::string text = concat("words", text::kEndOfSentence, text::kFimBegin, "\xFF");
    const auto ids = encoder.encode(text);
    for (const int32_t id : ids) CHECK(!tokenizer.is_special(id));
    CHECK(tokenizer.decode(ids) == text);
}
