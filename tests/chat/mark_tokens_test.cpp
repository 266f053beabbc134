#include "chat/mark_tokens.h"

#include <doctest/doctest.h>

#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::chat;

namespace {

/// With V3's control tokens and all bytes.
text::Tokenizer small_tokenizer() {
    ThreadPool pool(1);
    const std::vector<std::string_view> documents = {"a tool and a tool"};
    return text::train_bpe(pool, documents, {.vocab_size = 300});
}

}  // namespace

TEST_CASE("mark tokens: a mark that is a token is written by it alone") {
    const text::Tokenizer tokenizer = small_tokenizer();
    const MarkTokens marks(tokenizer, kDeepSeekV31);
    const std::string sep(kDeepSeekV31.mark);
    CHECK(marks.format().mark == MarkTokens::kSpecial + sep);
    CHECK(marks.token_bytes(*tokenizer.id_of(sep)) == marks.format().mark);
    CHECK(marks.format().think_end == kDeepSeekV31.think_end);
    // No sequence of other tokens writes it: none of them has the byte.
    for (int32_t id = 0; id < tokenizer.vocab_size(); ++id) {
        const std::string bytes = marks.token_bytes(id);
        const bool is_text = !tokenizer.is_special(id);
        CHECK((bytes.find(MarkTokens::kSpecial) == std::string::npos || !is_text));
        if (is_text && bytes.empty()) CHECK(tokenizer.token_bytes(id) == "\xfe");
    }
    for (const char* other : {"<｜User｜>", "<｜fim▁hole｜>"}) {
        CHECK(marks.token_bytes(*tokenizer.id_of(other)).empty());
    }
}

TEST_CASE("mark tokens: a mark that the tokenizer does not know is spelled") {
    const text::Tokenizer tokenizer = small_tokenizer();
    const MarkTokens marks(tokenizer, kKimiK2);
    CHECK(marks.format().calls_begin == kKimiK2.calls_begin);
    CHECK(marks.format().mark == kKimiK2.mark);
    Format mixed = kKimiK2;
    mixed.calls_begin = "<|call|>\n<｜tool▁sep｜>\n";
    CHECK(MarkTokens(tokenizer, mixed).format().calls_begin == "<|call|>\n\xfe<｜tool▁sep｜>\n");
}
