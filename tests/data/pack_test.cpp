#include "data/pack.h"

#include <doctest/doctest.h>

#include <cmath>
#include <numeric>

#include "core/file_map.h"
#include "data/content_hash.h"
#include "data/document.h"
#include "data/fill_in_middle.h"
#include "data/support.h"
#include "data/token_dataset.h"
#include "data/utf8.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;
using hadal::data::test::Folder;

namespace {

/// One id a byte, and markers above them: what was packed can be read off.
Encoder byte_encoder() {
    Encoder encoder;
    encoder.encode = [](std::string_view text) {
        std::vector<int32_t> ids;
        for (const char c : text) ids.push_back(uint8_t(c));
        return ids;
    };
    encoder.vocab_size = 300;
    encoder.eos = 257;
    encoder.middle = Encoder::MiddleMarkers{.begin = 258, .hole = 259, .end = 260};
    encoder.hash = "feed";
    return encoder;
}

std::vector<int32_t> ids_of(const TokenDataset& dataset, int64_t document) {
    const auto [begin, end] = dataset.document(document);
    std::vector<int32_t> ids(size_t(end - begin));
    dataset.copy(begin, ids);
    return ids;
}

/// The text of packed ids, with the middle back in its place.
std::string text_of(std::vector<int32_t> ids) {
    REQUIRE(ids.back() == 257);
    ids.pop_back();
    std::string parts[3];
    size_t part = 0;
    if (!ids.empty() && ids[0] == 258) {
        ids.erase(ids.begin());
        for (const int32_t id : ids) {
            if (id >= 256) {
                REQUIRE(id == (part == 0 ? 259 : 260));
                ++part;
            } else {
                parts[part] += char(id);
            }
        }
        REQUIRE(part == 2);
        return parts[0] + parts[2] + parts[1];
    }
    for (const int32_t id : ids) {
        REQUIRE(id < 256);
        parts[0] += char(id);
    }
    return parts[0];
}

std::filesystem::path write_documents(const Folder& folder, int count) {
    DocumentWriter writer(folder / "documents.jsonl");
    for (int i = 0; i < count; ++i) {
        writer.add({.text = concat("text ", i, i % 5 == 0 ? " h\xC3\xA9 \xFF" : ""),
                    .source = i % 3 == 0 ? "code" : "prose"});
    }
    writer.finish();
    return folder / "documents.jsonl";
}

}  // namespace

TEST_CASE(
    "fill_in_middle: the parts make up the text, cuts lie between characters, the rate holds") {
    const std::string text =
        "a\xC3\xA9\xE2\x82\xACz\xF0\x9F\x98\x80.\xFF!";  // é, €, 😀, a stray byte
    int cut_count = 0;
    std::vector<int> begins(text.size() + 1);
    for (int64_t index = 0; index < 20000; ++index) {
        const auto cut = cut_for_middle(text, 0.25, 5, index);
        if (!cut) continue;
        ++cut_count;
        ++begins[cut->prefix.size()];
        REQUIRE(concat(cut->prefix, cut->middle, cut->suffix) == text);
        for (const std::string_view part : {cut->prefix, cut->middle, cut->suffix}) {
            REQUIRE(invalid_utf8_bytes(part) == std::count(part.begin(), part.end(), '\xFF'));
        }
    }
    CHECK(std::abs(cut_count - 5000) < 250);  // four standard deviations
    // The smaller of two uniform cuts among the 9 places around 8 characters falls on the first
    // with 17/81.
    CHECK(std::abs(begins[0] - cut_count * 17 / 81) < 160);
    CHECK(begins[2] == 0);
    CHECK(begins[text.size()] > 0);
    CHECK(!cut_for_middle(text, 0, 5, 1));
    CHECK(cut_for_middle("", 1, 5, 1)->middle.empty());
}

TEST_CASE("pack: every document comes back from its set, whole, with one end") {
    const Folder folder;
    const auto path = write_documents(folder, 1000);
    ThreadPool threads(2);
    const PackedCorpus corpus =
        pack({path}, byte_encoder(), {.middle_rate = 0.5, .validation_every = 10, .seed = 3},
             threads, folder / "packed");
    std::map<std::string, int64_t> next;
    std::map<std::string, TokenDataset> sets;
    for (const PackedSource& source : corpus.sources) {
        for (const Split split : {Split::train, Split::validation}) {
            const auto set = corpus.set_path(source, split);
            sets.emplace(set.string(), TokenDataset::open(set));
        }
    }
    const DocumentFile documents = DocumentFile::open(path);
    int64_t rearranged = 0;
    int64_t training = 0;
    for (int64_t i = 0; i < documents.size(); ++i) {
        const Document document = documents.read(i);
        const Split split = split_of(document, 10);
        const auto set = (folder / concat("packed/", document.source, ".", name(split))).string();
        const auto ids = ids_of(sets.at(set), next[set]++);
        CHECK(text_of(ids) == document.text);
        if (split == Split::validation) CHECK(ids[0] != 258);
        if (split == Split::train) {
            ++training;
            rearranged += ids[0] == 258;
        }
    }
    CHECK(std::abs(double(rearranged) - 0.5 * double(training)) < 60);  // four standard deviations
    for (const auto& [set, count] : next) CHECK(sets.at(set).documents() == count);
}

TEST_CASE("pack: the manifest says what is in the files, and is read back") {
    const Folder folder;
    ThreadPool threads(1);
    pack({write_documents(folder, 300)}, byte_encoder(),
         {.validation_every = 4, .seed = 9, .weights = {{"code", 3}}}, threads, folder / "packed");
    const PackedCorpus corpus = PackedCorpus::open(folder / "packed");
    REQUIRE(corpus.sources.size() == 2);
    CHECK(corpus.vocab_size == 300);
    CHECK(corpus.tokenizer_hash == "feed");
    CHECK(corpus.seed == 9);
    CHECK(corpus.middle_rate == 0.1);
    CHECK(corpus.sources[0].name == "code");
    CHECK(corpus.sources[0].weight == 3);
    CHECK(corpus.sources[1].weight == 1);
    int64_t bytes = 0;
    for (const PackedSource& source : corpus.sources) {
        for (const Split split : {Split::train, Split::validation}) {
            const TokenDataset set = TokenDataset::open(corpus.set_path(source, split));
            const PackedSplit& said = *source.split(split);
            CHECK(said.tokens == set.tokens());
            CHECK(said.documents == set.documents());
            uint64_t hash = 0;
            for (int64_t i = 0; i < set.documents(); ++i) {
                std::string stored;
                for (const int32_t id : ids_of(set, i)) stored += {char(id & 255), char(id >> 8)};
                hash = content_hash(stored, hash);
            }
            CHECK(said.hash == hash_text(hash));
            bytes += said.text_bytes;
        }
    }
    const DocumentFile documents = DocumentFile::open(folder / "documents.jsonl");
    for (int64_t i = 0; i < documents.size(); ++i) bytes -= int64_t(documents.read(i).text.size());
    CHECK(bytes == 0);
    CHECK(corpus.total(Split::train).documents + corpus.total(Split::validation).documents == 300);
    const auto mixture = corpus.training();
    CHECK(mixture[0].weight == 3.0 * double(corpus.sources[0].train->tokens));
    CHECK(Loader(mixture, 16, 1, corpus.vocab_size).samples(0, 3).shape() == Shape{3, 17});
    CHECK(ValidationLoader(corpus.validation(16), 16).windows() > 0);
    CHECK(corpus.validation(1000000).empty());
}

TEST_CASE("pack: the same bytes for any number of threads") {
    const Folder folder;
    const auto path = write_documents(folder, 500);
    std::string first;
    for (const int count : {1, 2, 4}) {
        CAPTURE(count);
        ThreadPool threads(count);
        pack({path}, byte_encoder(), {.replace = true}, threads, folder / "packed");
        std::string all;
        for (const char* file : {"code.train.bin", "code.train.idx", "prose.train.bin",
                                 "prose.validation.bin", "manifest.json"}) {
            all += read_file(folder / concat("packed/", file));
        }
        if (first.empty()) first = all;
        CHECK(all == first);
    }
}

TEST_CASE("pack: a beginning is put before each document where the tokenizer has one") {
    const Folder folder;
    Encoder encoder = byte_encoder();
    encoder.bos = 256;
    DocumentWriter writer(folder / "a.jsonl");
    writer.add({.text = "ab", .source = "s", .split = Split::train});
    writer.add({.text = "", .source = "s", .split = Split::train});
    writer.finish();
    ThreadPool threads(1);
    pack({folder / "a.jsonl"}, encoder, {.middle_rate = 0}, threads, folder / "packed");
    const TokenDataset set = TokenDataset::open(folder / "packed/s.train");
    CHECK(ids_of(set, 0) == std::vector<int32_t>{256, 'a', 'b', 257});
    CHECK(ids_of(set, 1) == std::vector<int32_t>{256, 257});
    encoder.middle->begin = 299;
    pack({folder / "a.jsonl"}, encoder, {.middle_rate = 1}, threads, folder / "packed-middle");
    const auto ids = ids_of(TokenDataset::open(folder / "packed-middle/s.train"), 0);
    CHECK(ids[0] == 256);
    CHECK(ids[1] == 299);
}

TEST_CASE("pack: bad input is refused by name, and leaves no folder") {
    const Folder folder;
    ThreadPool threads(2);
    const auto good = write_documents(folder, 10);
    const auto refusal = [&](const std::filesystem::path& path, PackOptions options = {}) {
        return error_of([&] { pack({path}, byte_encoder(), options, threads, folder / "packed"); });
    };
    CHECK(contains(refusal(folder.write("empty.jsonl", "\n\n")), "empty corpus"));
    CHECK(contains(refusal(folder.write("bad.jsonl", "{\"text\": \"a\"}\n{oops\n")),
                   "bad.jsonl line 2"));
    CHECK(contains(refusal(folder / "none.jsonl"), "none.jsonl"));
    CHECK(contains(refusal(folder.write("two.jsonl",
                                        "{\"text\": \"a\", \"weight\": 2}\n"
                                        "{\"text\": \"b\"}\n")),
                   "source 'text' has weight 2 in one document and 1 in another"));
    CHECK(contains(refusal(good, {.middle_rate = 1.5}), "rate 1.5"));
    CHECK(contains(refusal(good, {.middle_rate = std::nan("")}), "rate nan"));
    CHECK(contains(refusal(good, {.weights = {{"code", -1}}}), "weight -1"));
    CHECK(contains(refusal(good, {.weights = {{"cod", 1}}}), "source 'cod'"));
    CHECK(!std::filesystem::exists(folder / "packed"));
    Encoder plain = byte_encoder();
    plain.middle.reset();
    CHECK(contains(error_of([&] { pack({good}, plain, {}, threads, folder / "packed"); }),
                   "no fill-in-the-middle tokens"));
    CHECK(refusal(good) == "");
    const std::string manifest = read_file(folder / "packed/manifest.json");
    CHECK(contains(refusal(good), "output folder exists"));
    CHECK(contains(refusal(folder / "bad.jsonl", {.replace = true}), "line 2"));
    CHECK(read_file(folder / "packed/manifest.json") == manifest);  // the good one survives
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
        CHECK(!contains(entry.path().string(), ".tmp-"));
    }
}

TEST_CASE("packed_corpus: a damaged manifest is refused with the field's name") {
    const Folder folder;
    ThreadPool threads(1);
    pack({write_documents(folder, 50)}, byte_encoder(), {}, threads, folder / "packed");
    const std::string good = read_file(folder / "packed/manifest.json");
    const auto refusal = [&](const std::string& from, const std::string& to) {
        std::string changed = good;
        changed.replace(changed.find(from), from.size(), to);
        folder.write("packed/manifest.json", changed);
        return error_of([&] { PackedCorpus::open(folder / "packed"); });
    };
    CHECK(refusal("{", "{") == "");
    CHECK(contains(refusal("{", ""), "manifest"));
    CHECK(contains(refusal("corpus 1", "corpus 2"), "\"format\""));
    CHECK(contains(refusal("\"vocab_size\": 300", "\"vocab_size\": -1"), "\"vocab_size\""));
    CHECK(contains(refusal("\"vocab_size\": 300", "\"vocab_size\": \"x\""), "\"vocab_size\""));
    CHECK(contains(refusal("\"seed\"", "\"sed\""), "\"seed\" is missing"));
    CHECK(contains(refusal("\"sources\": [", "\"sources\": [7,"), "no object"));
    CHECK(contains(refusal("\"name\": \"code\"", "\"name\": \"../x\""), "source '../x'"));
}
