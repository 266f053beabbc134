// Any bytes as text: a tokenizer learned from it, and its ids, give the bytes back; so does the
// stream of the detokenizer.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>
#include <vector>

#include "text/bpe_train.h"
#include "text/detokenizer.h"
#include "text/unicode.h"

namespace {

using hadal::text::Detokenizer;
using hadal::text::Tokenizer;

void check(const Tokenizer& tokenizer, std::string_view text) {
    for (const bool parse_special : {false, true}) {
        const std::vector<int32_t> ids = tokenizer.encode(text, parse_special);
        if (tokenizer.decode(ids) != text) std::abort();
        Detokenizer detokenizer(tokenizer, /*skip_special=*/false);
        std::string shown;
        for (const int32_t id : ids) shown += detokenizer.push(id);
        shown += detokenizer.finish();
        if (shown != hadal::text::displayable(text)) std::abort();
    }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    static hadal::ThreadPool pool(1);
    static const std::vector<std::string_view> page = {
        "The tokenizer that most inputs meet: the words of the page, the numbers 1234, the signs."};
    static const Tokenizer fixed = hadal::text::train_bpe(pool, page, {.vocab_size = 320});
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    check(fixed, text);
    if (text.empty()) return 0;
    const std::vector<std::string_view> documents = {text};
    check(hadal::text::train_bpe(pool, documents, {.vocab_size = 300}), text);
    return 0;
}
