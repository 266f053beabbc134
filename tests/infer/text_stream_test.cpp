#include "infer/text_stream.h"

#include <doctest/doctest.h>

#include "core/random.h"
#include "text/bpe_train.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

text::Tokenizer some_tokenizer() {
    ThreadPool threads(1);
    const std::vector<std::string_view> texts = {
        "the end of the story, the end\n\nUser: näive 中文"};
    return text::train_bpe(threads, texts, {.vocab_size = 300});
}

/// The text before the first stop string.
std::string cut(const std::string& text, const std::vector<std::string>& stops) {
    size_t end = text.size();
    for (const std::string& stop : stops) end = std::min(end, text.find(stop));
    return text.substr(0, end);
}

}  // namespace

TEST_CASE(
    "text stream: what is shown is the text before the first stop string, never a part of it") {
    const text::Tokenizer tokenizer = some_tokenizer();
    const std::vector<std::vector<std::string>> stop_lists = {
        {}, {""}, {"end"}, {"\n\n"}, {"story", "the end of the s"}, {"zzz", "d o"}, {"中"}, {"e"}};
    for (const std::string text : {"the end of the story", "one\n\nUser: two",
                                   "näive 中文 the ennd end", "endend", "中 e"}) {
        for (const auto& stops : stop_lists) {
            for (const bool byte_by_byte : {false, true}) {
                TextStream stream(tokenizer, stops);
                std::string shown;
                std::vector<int32_t> ids = tokenizer.encode(text);
                if (byte_by_byte) {
                    ids.clear();
                    for (const char byte : text) {
                        const auto one = tokenizer.encode(std::string(1, byte));
                        ids.insert(ids.end(), one.begin(), one.end());
                    }
                }
                std::vector<std::string> wanted = stops;
                std::erase(wanted, "");
                const std::string expected = cut(text, wanted);
                for (const int32_t id : ids) {
                    shown += stream.push(id);
                    REQUIRE(expected.starts_with(shown));
                    if (stream.stopped()) break;
                }
                CHECK(stream.stopped() == (expected.size() < text.size()));
                shown += stream.finish();
                CAPTURE(text);
                CHECK(shown == expected);
                CHECK(stream.text() == expected);
                if (stream.stopped()) CHECK(stream.push(ids[0]).empty());
            }
        }
    }
}

TEST_CASE("text stream: nothing is held back longer than a stop string could still come of it") {
    const text::Tokenizer tokenizer = some_tokenizer();
    TextStream stream(tokenizer, {"end!"});
    std::string shown;
    for (const char c : std::string("the en")) {
        for (const int32_t id : tokenizer.encode(std::string(1, c))) shown += stream.push(id);
    }
    CHECK(shown == "the ");
    for (const int32_t id : tokenizer.encode("t")) shown += stream.push(id);
    CHECK(shown == "the ent");
}
