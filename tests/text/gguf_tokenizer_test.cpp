#include "text/gguf_tokenizer.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "text/byte_letters.h"
#include "text/golden.h"
#include "text/tokenizer_json.h"

using namespace hadal;
using namespace hadal::text;

namespace {

/// What a GGUF file would hold of a tokenizer; owns its texts.
struct Vocabulary {
    explicit Vocabulary(const TokenizerContent& content) {
        for (size_t id = 0; id < content.tokens.size(); ++id) {
            tokens.push_back(to_byte_letters(content.tokens[id]));
            types.push_back(1);
        }
        for (const AddedToken& added : content.added_tokens) {
            tokens[size_t(added.id)] = added.content;
            types[size_t(added.id)] = added.special ? 3 : 4;
        }
        for (const Merge& merge : content.merges) {
            merges.push_back(tokens[size_t(merge.left)] + " " + tokens[size_t(merge.right)]);
        }
        bos = content.bos_id;
        eos = content.eos_id;
    }
    GgufVocabulary view() const {
        GgufVocabulary vocabulary{.model = model,
                                  .pretokenizer = pretokenizer,
                                  .types = types,
                                  .bos_id = bos,
                                  .eos_id = eos,
                                  .add_bos = true};
        for (const std::string& token : tokens) vocabulary.tokens.push_back(token);
        for (const std::string& merge : merges) vocabulary.merges.push_back(merge);
        if (!chat_template.empty()) vocabulary.chat_template = chat_template;
        return vocabulary;
    }
    std::string refused(Error::Kind kind) const {
        try {
            tokenizer_content(view(), "here");
        } catch (const Error& error) {
            CHECK(error.kind() == kind);
            return error.what();
        }
        FAIL_CHECK("was not refused");
        return "";
    }

    std::string model = "gpt2", pretokenizer = "deepseek-v3", chat_template;
    std::vector<std::string> tokens, merges;
    std::vector<int64_t> types;
    std::optional<int64_t> bos, eos;
};

TokenizerContent v3() {
    return read_tokenizer(test::text_data("golden/v3"));
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("gguf_tokenizer: V3's tokenizer through GGUF's lists gives the same ids") {
    const TokenizerContent content = v3();
    const Tokenizer expected(content);
    const Tokenizer read(tokenizer_content(Vocabulary(content).view(), "here"));
    CHECK(read.content().splits == v3_splits());
    CHECK(read.content().tokens == content.tokens);
    CHECK(read.content().merges == content.merges);
    CHECK(read.bos_id() == expected.bos_id());
    CHECK(read.add_bos());
    for (const std::string text :
         {"Hello world, 12345 times.", "naïve 你好 かな\n\n  x+=1;\t", "<｜User｜>a\xff"}) {
        CAPTURE(text);
        CHECK(read.encode(text) == expected.encode(text));
        CHECK(read.encode(text, true) == expected.encode(text, true));
        CHECK(read.decode(read.encode(text)) == text);
    }
}

TEST_CASE("gguf_tokenizer: the files written from it are read back as the same tokenizer") {
    Vocabulary vocabulary(v3());
    vocabulary.chat_template = "{{ bos_token }}\"quoted\"";
    const TokenizerContent content = tokenizer_content(vocabulary.view(), "here");
    CHECK(contains(content.config_json, "\\\"quoted\\\""));
    const TokenizerContent back =
        parse_tokenizer(tokenizer_json(content), tokenizer_config_json(content), "back");
    CHECK(back.tokens == content.tokens);
    CHECK(back.merges == content.merges);
    CHECK(back.added_tokens == content.added_tokens);
    CHECK(back.splits == content.splits);
    CHECK(back.bos_id == content.bos_id);
    CHECK(back.eos_id == content.eos_id);
}

TEST_CASE("gguf_tokenizer: tokens that only fill up the table are holes") {
    Vocabulary vocabulary(v3());
    vocabulary.tokens.push_back("[PAD1]");
    vocabulary.types.push_back(5);
    const TokenizerContent content = tokenizer_content(vocabulary.view(), "here");
    CHECK(content.tokens.size() == vocabulary.tokens.size());
    CHECK(content.tokens.back().empty());
    CHECK(!Tokenizer(content).id_of("[PAD1]"));
}

TEST_CASE("gguf_tokenizer: the coder's pre-tokeniser isolates lines, words, signs and digits") {
    Vocabulary vocabulary(v3());
    vocabulary.pretokenizer = "deepseek-coder";
    const Pretokenizer splits(tokenizer_content(vocabulary.view(), "here").splits);
    std::vector<std::string_view> pieces;
    splits.split("int x1 = 23;\n你好 a", pieces);
    const std::vector<std::string_view> expected = {"int", " x", "1",  " = ",  "2",
                                                    "3",   ";",  "\n", "你好", " a"};
    CHECK(pieces == expected);
}

TEST_CASE("gguf_tokenizer: lists that contradict themselves are refused by name") {
    const auto with = [](auto change, Error::Kind kind = Error::Kind::corrupt_file) {
        Vocabulary vocabulary(v3());
        change(vocabulary);
        return vocabulary.refused(kind);
    };
    constexpr auto kUnsupported = Error::Kind::unsupported;
    CHECK(contains(with([](Vocabulary& v) { v.model = "llama"; }, kUnsupported), "'llama'"));
    CHECK(contains(with([](Vocabulary& v) { v.pretokenizer = "qwen2"; }, kUnsupported),
                   "'qwen2' is none that hadal knows"));
    CHECK(contains(with([](Vocabulary& v) { v.types.pop_back(); }), "types of"));
    CHECK(contains(with([](Vocabulary& v) { v.types[9] = 6; }, kUnsupported),
                   "token 9 is of type 6"));
    CHECK(contains(with([](Vocabulary& v) { v.tokens[9] = v.tokens[8]; }), "ids 8 and 9 are both"));
    CHECK(contains(with([](Vocabulary& v) { v.tokens[9] = ""; }), "token 9 is empty"));
    CHECK(contains(with([](Vocabulary& v) { v.tokens[9] = "\xff"; }), "token 9 is not UTF-8"));
    CHECK(contains(with([](Vocabulary& v) { v.merges[0] = "a"; }), "merge 0 is not two tokens"));
    CHECK(contains(with([](Vocabulary& v) { v.merges[0] = "a b c"; }), "merge 0"));
    CHECK(contains(with([](Vocabulary& v) { v.merges[1] = "a qqqqqqq"; }), "'qqqqqqq'"));
    CHECK(contains(with([](Vocabulary& v) { v.bos = 1 << 30; }), "the bos token is 1073741824"));
    CHECK(contains(with([](Vocabulary& v) { v.eos = -1; }), "the eos token is -1"));
    CHECK(contains(with([](Vocabulary& v) {
                       v.tokens.clear();
                       v.types.clear();
                   }),
                   "0 tokens"));
    CHECK(contains(with([](Vocabulary& v) { v.chat_template = "\xff"; }), "chat template"));
}
