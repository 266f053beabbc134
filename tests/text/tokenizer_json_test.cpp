#include "text/tokenizer_json.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/error.h"
#include "text/bpe_train.h"
#include "text/golden.h"

namespace hadal::text {
namespace {

using nlohmann::json;

void check_same(const TokenizerContent& a, const TokenizerContent& b) {
    CHECK(a.tokens == b.tokens);
    CHECK(a.written == b.written);
    CHECK(a.merges == b.merges);
    CHECK(a.added_tokens == b.added_tokens);
    CHECK(a.splits == b.splits);
    CHECK(a.ignore_merges == b.ignore_merges);
    CHECK(a.byte_fallback == b.byte_fallback);
    CHECK(a.bos_id == b.bos_id);
    CHECK(a.eos_id == b.eos_id);
    CHECK(a.pad_id == b.pad_id);
    CHECK(a.add_bos == b.add_bos);
}

TEST_CASE("tokenizer_json: what is written is what was read") {
    const Tokenizer golden = Tokenizer::load(test::text_data("golden/v3"));
    const test::Folder folder;
    golden.save(folder.path());
    check_same(read_tokenizer(folder.path()), golden.content());
    CHECK(read_file(folder.path() / "tokenizer_config.json") == golden.content().config_json);
}

TEST_CASE(
    "tokenizer_json: a learned tokenizer is written as Hugging Face tokenizers was seen to "
    "read it") {
    const std::string corpus = read_file(test::text_data("corpus.txt"));
    const std::vector<std::string_view> documents = {corpus};
    ThreadPool pool(2);
    const Tokenizer trained = train_bpe(pool, documents, {.vocab_size = 700});
    // tools/make_tokenizer_goldens.py --check passed for this very file.
    CHECK(tokenizer_json(trained.content()) ==
          read_file(test::text_data("golden/written/tokenizer.json")));
    CHECK(tokenizer_config_json(trained.content()) ==
          read_file(test::text_data("golden/written/tokenizer_config.json")));
    const test::Folder folder;
    trained.save(folder.path());
    check_same(read_tokenizer(folder.path()), trained.content());
}

TEST_CASE("tokenizer_json: merges may be written as one string") {
    json file = test::golden_json("v3/tokenizer.json");
    for (json& merge : file["model"]["merges"]) {
        merge = merge[0].get<std::string>() + " " + merge[1].get<std::string>();
    }
    const TokenizerContent content = parse_tokenizer(file.dump(), std::nullopt, "file");
    CHECK(content.merges == read_tokenizer(test::text_data("golden/v3")).merges);
}

TEST_CASE("tokenizer_json: without tokenizer_config.json the control tokens are V3's by name") {
    const TokenizerContent content = read_tokenizer(test::text_data("golden/v3/tokenizer.json"));
    const TokenizerContent alone =
        parse_tokenizer(read_file(test::text_data("golden/v3/tokenizer.json")), {}, "file");
    CHECK(alone.bos_id == content.bos_id);
    CHECK(alone.eos_id == content.eos_id);
    CHECK(alone.pad_id == content.pad_id);
    CHECK_FALSE(alone.add_bos);
}

TEST_CASE("tokenizer_json: byte-fallback tokens stand for their byte, and are written back") {
    json file = test::golden_json("v3/tokenizer.json");
    json& vocab = file["model"]["vocab"];
    const int32_t id = vocab["ÿ"];  // byte 255
    vocab.erase("ÿ");
    vocab["<0xFF>"] = id;
    SUBCASE("switched on") {
        file["model"]["byte_fallback"] = true;
        const Tokenizer tokenizer(parse_tokenizer(file.dump(), {}, "file"));
        CHECK(tokenizer.encode("\xFF") == std::vector<int32_t>{id});
        CHECK(tokenizer.decode(std::vector<int32_t>{id}) == "\xFF");
        check_same(parse_tokenizer(tokenizer_json(tokenizer.content()), {}, "again"),
                   tokenizer.content());
    }
    SUBCASE("switched off") {
        const Tokenizer tokenizer(parse_tokenizer(file.dump(), {}, "file"));
        CHECK(tokenizer.decode(std::vector<int32_t>{id}) == "<0xFF>");
        CHECK_THROWS_AS(tokenizer.encode("\xFF"), Error);
    }
}

struct Fault {
    const char* named;  // in the message
    Error::Kind kind;
    std::function<void(json&)> make;
};

const Error::Kind kCorrupt = Error::Kind::corrupt_file;
const Error::Kind kUnsupported = Error::Kind::unsupported;

/// Every fault is put into a good file.
void check_faults(const std::vector<Fault>& faults) {
    for (const Fault& fault : faults) {
        json file = test::golden_json("v3/tokenizer.json");
        fault.make(file);
        CAPTURE(fault.named);
        try {
            const Tokenizer tokenizer(parse_tokenizer(file.dump(), {}, "THE FILE"), "THE FILE");
            FAIL_CHECK("was taken");
        } catch (const Error& error) {
            const std::string message = error.what();
            CAPTURE(message);
            CHECK(error.kind() == fault.kind);
            CHECK(message.find(fault.named) != std::string::npos);
            CHECK(message.find("THE FILE") != std::string::npos);
            CHECK(message.find('\n') == std::string::npos);
        }
    }
}

TEST_CASE("tokenizer_json: a file that contradicts itself is refused by name") {
    check_faults({
        {"'model'", kCorrupt, [](json& file) { file.erase("model"); }},
        {"'vocab'", kCorrupt, [](json& file) { file["model"].erase("vocab"); }},
        {"'merges'", kCorrupt, [](json& file) { file["model"].erase("merges"); }},
        {"not a list", kCorrupt, [](json& file) { file["model"]["merges"] = 3; }},
        {"object of tokens", kCorrupt, [](json& file) { file["model"]["vocab"] = json::array(); }},
        {"'a?b", kCorrupt, [](json& file) { file["model"]["vocab"]["a\nb"] = -1; }},
        {"'Ġ'", kCorrupt, [](json& file) { file["model"]["vocab"]["Ġ"] = -1; }},
        {"'Ġ'", kCorrupt, [](json& file) { file["model"]["vocab"]["Ġ"] = 1.5; }},
        {"'Ġ'", kCorrupt, [](json& file) { file["model"]["vocab"]["Ġ"] = 4000000000u; }},
        {"'Ġ'", kCorrupt,
         [](json& file) { file["model"]["vocab"]["Ġ"] = 18446744073709551615ull; }},
        {"two tokens", kCorrupt, [](json& file) { file["model"]["vocab"]["Ġ"] = 5; }},
        {"empty token", kCorrupt, [](json& file) { file["model"]["vocab"][""] = 660; }},
        {"'nothing'", kCorrupt,
         [](json& file) { file["model"]["merges"].push_back({"nothing", "a"}); }},
        {"'zq'", kCorrupt, [](json& file) { file["model"]["merges"].push_back({"z", "q"}); }},
        {"'a b c'", kCorrupt, [](json& file) { file["model"]["merges"].push_back("a b c"); }},
        {"neither", kCorrupt, [](json& file) { file["model"]["merges"].push_back({"a"}); }},
        {"repeats", kCorrupt,
         [](json& file) { file["model"]["merges"].push_back(file["model"]["merges"][0]); }},
        {"'ignore_merges'", kCorrupt, [](json& file) { file["model"]["ignore_merges"] = 1; }},
        {"'added_tokens'", kCorrupt, [](json& file) { file["added_tokens"] = "x"; }},
        {"'content'", kCorrupt, [](json& file) { file["added_tokens"][0].erase("content"); }},
        {"is empty", kCorrupt, [](json& file) { file["added_tokens"][0]["content"] = ""; }},
        {"'id'", kCorrupt, [](json& file) { file["added_tokens"][0].erase("id"); }},
        {"has the ids", kCorrupt, [](json& file) { file["added_tokens"][0]["id"] = 9; }},
        {"two tokens", kCorrupt, [](json& file) { file["added_tokens"][3]["id"] = 9; }},
        {"two tokens", kCorrupt,
         [](json& file) { file["added_tokens"][3]["id"] = file["added_tokens"][4]["id"]; }},
        {"'add_prefix_space'", kCorrupt,
         [](json& file) { file["pre_tokenizer"] = {{"type", "ByteLevel"}}; }},
        {"'String'", kCorrupt,
         [](json& file) { file["pre_tokenizer"]["pretokenizers"][0]["pattern"] = {{"X", 1}}; }},
        {"'type'", kCorrupt, [](json& file) { file["pre_tokenizer"] = json::object(); }},
        {"object", kCorrupt, [](json& file) { file["pre_tokenizer"] = 1; }},
    });
}

TEST_CASE("tokenizer_json: what this build cannot follow is refused by name") {
    check_faults({
        {"Unigram", kUnsupported, [](json& file) { file["model"]["type"] = "Unigram"; }},
        {"dropout", kUnsupported, [](json& file) { file["model"]["dropout"] = 0.1; }},
        {"end_of_word_suffix", kUnsupported,
         [](json& file) { file["model"]["end_of_word_suffix"] = "</w>"; }},
        {"NFC", kUnsupported, [](json& file) { file["normalizer"] = {{"type", "NFC"}}; }},
        {"NFC", kUnsupported,
         [](json& file) {
             file["normalizer"] = {{"type", "Sequence"}, {"normalizers", {{{"type", "NFC"}}}}};
         }},
        {"Metaspace", kUnsupported,
         [](json& file) { file["pre_tokenizer"] = {{"type", "Metaspace"}}; }},
        {"without ByteLevel", kUnsupported,
         [](json& file) { file["pre_tokenizer"] = {{"type", "Digits"}}; }},
        {"Removed", kUnsupported,
         [](json& file) { file["pre_tokenizer"]["pretokenizers"][0]["behavior"] = "Removed"; }},
        {"add_prefix_space", kUnsupported,
         [](json& file) {
             file["pre_tokenizer"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}};
         }},
        {"byte 32", kUnsupported,
         [](json& file) {
             file["model"]["vocab"].erase("Ġ");
             file["model"]["merges"] = json::array();
         }},
    });
}

TEST_CASE("tokenizer_json: tokenizer_config.json must agree with the tokens") {
    const std::string file = read_file(test::text_data("golden/v3/tokenizer.json"));
    const auto message_of = [&](const std::string& config) -> std::string {
        try {
            parse_tokenizer(file, config, "THE FILE");
        } catch (const Error& error) {
            return error.what();
        }
        return "was taken";
    };
    CHECK(message_of("{}") == "was taken");
    CHECK(message_of(R"({"bos_token": null, "add_bos_token": false})") == "was taken");
    for (const auto& [config, named] : std::vector<std::pair<std::string, std::string>>{
             {R"({"bos_token": "<nobody>"})", "'<nobody>'"},
             {R"({"eos_token": {"content": 5}})", "'content'"},
             {R"({"pad_token": 5})", "'pad_token'"},
             {R"({"add_bos_token": true})", "'bos_token'"},
             {R"([])", "object"},
             {R"({)", "JSON"}}) {
        CAPTURE(config);
        const std::string message = message_of(config);
        CAPTURE(message);
        CHECK(message.find(named) != std::string::npos);
    }
}

TEST_CASE("tokenizer_json: a missing file and text that is not JSON are refused") {
    CHECK_THROWS_AS(Tokenizer::load("/no/such/model"), Error);
    CHECK_THROWS_AS(parse_tokenizer("{\"model\":", {}, "file"), Error);
    CHECK_THROWS_AS(parse_tokenizer("[]", {}, "file"), Error);
    CHECK_THROWS_AS(parse_tokenizer("", {}, "file"), Error);
    CHECK_THROWS_AS(parse_tokenizer(std::string(5000, '['), {}, "file"), Error);
    // Two values for one key are no choice of ours.
    const std::string file = read_file(test::text_data("golden/v3/tokenizer.json"));
    CHECK_THROWS_AS(parse_tokenizer("{\"model\":{}," + file.substr(1), {}, "file"), Error);
}

}  // namespace
}  // namespace hadal::text
