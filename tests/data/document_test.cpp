#include "data/document.h"

#include <doctest/doctest.h>

#include "core/file_map.h"
#include "data/content_hash.h"
#include "data/support.h"
#include "data/utf8.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;
using hadal::data::test::Folder;

TEST_CASE("utf8: what the Unicode standard calls ill-formed is counted byte by byte") {
    CHECK(invalid_utf8_bytes("plain, \xC3\xA9, \xE2\x82\xAC, \xF0\x9F\x98\x80") == 0);
    CHECK(invalid_utf8_bytes("\xEE\x80\x80\xF4\x8F\xBF\xBF\xED\x9F\xBF") == 0);
    CHECK(invalid_utf8_bytes("a\xC3") == 1);             // ends too soon
    CHECK(invalid_utf8_bytes("\xC0\x80") == 2);          // overlong
    CHECK(invalid_utf8_bytes("\xE0\x9F\xBF") == 3);      // overlong
    CHECK(invalid_utf8_bytes("\xED\xA0\x80") == 3);      // a surrogate
    CHECK(invalid_utf8_bytes("\xF4\x90\x80\x80") == 4);  // beyond U+10FFFF
    CHECK(invalid_utf8_bytes("\xF0\x8F\xBF\xBF") == 4);  // overlong
    CHECK(invalid_utf8_bytes("\x80z\xFF") == 2);
}

TEST_CASE("document: every byte comes back from a line, valid UTF-8 or not") {
    std::string all_bytes;
    for (int i = 0; i < 256; ++i) all_bytes += char(i);
    for (size_t length = 0; length < 6; ++length) {
        for (const std::string& text :
             {all_bytes.substr(250, length), all_bytes + all_bytes.substr(0, length),
              std::string("\"quoted\"\n\t\\ \0 é", 16)}) {
            const Document document{
                .text = text, .source = "code", .split = Split::validation, .weight = 2.5};
            const std::string line = to_json_line(document);
            CHECK(is_utf8(line));
            CHECK(line.find('\n') == std::string::npos);
            CHECK(from_json_line(line, "here") == document);
        }
    }
}

TEST_CASE("document: base64 is the one of RFC 4648") {
    // Test vectors of section 10, behind a byte that is not UTF-8 in the last case.
    const auto text = [](const std::string& code) {
        return from_json_line(R"({"base64": ")" + code + "\"}", "here").text;
    };
    CHECK(text("") == "");
    CHECK(text("Zg==") == "f");
    CHECK(text("Zm8=") == "fo");
    CHECK(text("Zm9v") == "foo");
    CHECK(text("Zm9vYmFy") == "foobar");
    CHECK(text("/2Zv") ==
          "\xFF"
          "fo");
    CHECK(contains(to_json_line({.text = "\xFF"
                                         "fo"}),
                   R"("base64":"/2Zv")"));
    for (const char* bad : {"Z", "Zg=", "Zg==Zg==", "Z===", "Zm9*", "=m9v", "Zg=v"}) {
        CAPTURE(bad);
        CHECK(contains(error_of([&] { text(bad); }), "base64"));
    }
}

TEST_CASE("document: lines of other tools are read, malformed ones are refused with their number") {
    const Folder folder;
    const auto read_last = [&](const std::string& line) {
        return error_of([&] {
            const DocumentFile file = DocumentFile::open(
                folder.write("a.jsonl", "{\"text\": \"one\", \"meta\": {\"x\": 1}}\r\n\n" + line));
            CHECK(file.read(0).text == "one");
            CHECK(file.read(0).source == "text");
            file.read(file.size() - 1);
        });
    };
    CHECK(read_last("{\"text\": \"two\"}") == "");
    for (const char* line : {
             "{\"text\": \"two\"",
             "[1, 2]",
             "{}",
             "{\"text\": 3}",
             "{\"text\": \"\xFF\"}",
             "{\"text\": \"a\", \"source\": \"../up\"}",
             "{\"text\": \"a\", \"source\": \"\"}",
             "{\"text\": \"a\", \"source\": \".hidden\"}",
             "{\"text\": \"a\", \"source\": 7}",
             "{\"text\": \"a\", \"split\": \"test\"}",
             "{\"text\": \"a\", \"weight\": 0}",
             "{\"text\": \"a\", \"weight\": \"2\"}",
         }) {
        CAPTURE(line);
        const std::string message = read_last(line);
        CHECK(contains(message, "a.jsonl line 3"));
        CHECK(message.find('\n') == std::string::npos);
    }
}

TEST_CASE("document: a writer leaves nothing behind unless it is finished") {
    const Folder folder;
    {
        DocumentWriter writer(folder / "a.jsonl");
        writer.add({.text = "one"});
    }
    CHECK(std::filesystem::is_empty(folder.path()));
    DocumentWriter writer(folder / "a.jsonl");
    writer.add({.text = "one"});
    writer.add({.text = "two\n"});
    writer.finish();
    const DocumentFile file = DocumentFile::open(folder / "a.jsonl");
    REQUIRE(file.size() == 2);
    CHECK(file.read(1).text == "two\n");
}

TEST_CASE("document: each is visited once, by its index, on any number of threads") {
    const Folder folder;
    DocumentWriter writer(folder / "a.jsonl");
    for (int i = 0; i < 100; ++i) writer.add({.text = concat("text ", i)});
    writer.finish();
    const DocumentFile file = DocumentFile::open(folder / "a.jsonl");
    for (const int count : {1, 3}) {
        ThreadPool threads(count);
        std::vector<std::string> texts(100);
        file.for_each(threads, [&](int64_t i, Document& document) {
            texts[size_t(i)] += std::move(document.text);
        });
        for (size_t i = 0; i < texts.size(); ++i) CHECK(texts[i] == concat("text ", i));
    }
}

TEST_CASE("document: one text in fifty is held out, whatever else is in the file") {
    int held_out = 0;
    for (int i = 0; i < 10000; ++i) {
        const Document document{.text = concat("text ", i)};
        const Split split = split_of(document, 50);
        held_out += split == Split::validation;
        REQUIRE(split == split_of({.text = document.text, .source = "other"}, 50));
    }
    CHECK(held_out > 140);  // 200 expected, standard deviation 14
    CHECK(held_out < 260);
    CHECK(split_of({.text = "a", .split = Split::validation}, 0) == Split::validation);
    CHECK(split_of({.text = "a"}, 0) == Split::train);
    CHECK(split_of({.text = "a"}, 1) == Split::validation);
}

TEST_CASE("content_hash: a changed bit, a moved byte or an added zero gives another hash") {
    const std::string text = "some bytes of no special length";
    std::vector<uint64_t> hashes{content_hash(text), content_hash(text, 1)};
    for (size_t i = 0; i <= text.size(); ++i) {
        hashes.push_back(content_hash(text.substr(0, i) + std::string(1, '\0') + text.substr(i)));
        if (i == text.size()) break;
        for (int bit = 0; bit < 8; ++bit) {
            std::string changed = text;
            changed[i] = char(changed[i] ^ (1 << bit));
            hashes.push_back(content_hash(changed));
        }
    }
    for (size_t n = 0; n < 40; ++n) hashes.push_back(content_hash(std::string(n, '\0')));
    std::sort(hashes.begin(), hashes.end());
    CHECK(std::adjacent_find(hashes.begin(), hashes.end()) == hashes.end());
    CHECK(hash_text(0x0123456789abcdef) == "0123456789abcdef");
}
