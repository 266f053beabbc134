#include "data/collect.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>

#include "core/file_map.h"
#include "core/random.h"
#include "data/document.h"
#include "data/near_duplicates.h"
#include "data/support.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;
using hadal::data::test::Folder;

namespace {

std::string words(uint64_t seed, int count) {
    std::string text;
    for (int i = 0; i < count; ++i) {
        text += concat("w", random_bits(seed, 0, uint64_t(i)) % 5000, i % 12 == 11 ? "\n" : " ");
    }
    return text;
}

/// A copy in which about `count` words are others.
std::string changed(std::string text, uint64_t seed, int count) {
    for (int i = 0; i < count; ++i) {
        const size_t at = text.find('w', random_bits(seed, 1, uint64_t(i)) % (text.size() - 8));
        if (at != std::string::npos) text[at] = 'X';
    }
    return text;
}

std::vector<Document> read_all(const std::filesystem::path& path) {
    const DocumentFile file = DocumentFile::open(path);
    std::vector<Document> documents;
    for (int64_t i = 0; i < file.size(); ++i) documents.push_back(file.read(i));
    return documents;
}

int64_t accounted(const SourceReport& report) {
    return report.documents + report.too_short + report.too_long + report.binary +
           report.unreadable + report.exact_duplicates + report.near_duplicates +
           report.over_budget;
}

}  // namespace

TEST_CASE("near_duplicates: the similarity of shingles is that of sets counted by hand") {
    // Shingles of five words: "a b c d e", "b c d e f" against "b c d e f", "c d e f g".
    CHECK(jaccard(shingles("a b c d e f"), shingles("b c d e f g")) == doctest::Approx(1.0 / 3));
    CHECK(jaccard(shingles("a  b\n\tc d e"), shingles("a b c d e")) == 1);
    CHECK(jaccard(shingles("a b c d e"), shingles("v w x y z")) == 0);
    CHECK(shingles("int f(int x);").size() == 3);  // int f ( int x ) ; are seven words
    CHECK(shingles("two words").size() == 1);
    CHECK(shingles(" \n").empty());
    CHECK(jaccard({}, {}) == 1);
}

TEST_CASE("near_duplicates: a signature estimates the similarity within its error") {
    for (const int edits : {1, 4, 10, 30, 100}) {
        CAPTURE(edits);
        const std::string a = words(1, 600);
        const std::string b = changed(a, 2, edits);
        const double exact = jaccard(shingles(a), shingles(b));
        const double estimate = estimated_similarity(min_hash(shingles(a)), min_hash(shingles(b)));
        CHECK(std::abs(exact - estimate) < 5 * std::sqrt(exact * (1 - exact) / 120) + 1e-9);
    }
}

TEST_CASE("collect: planted copies go, different texts stay, and every file is accounted for") {
    const Folder folder;
    for (int i = 0; i < 60; ++i) {
        const std::string text = words(uint64_t(i), 300);
        folder.write(concat("in/", 100 + i, ".txt"), text);
        if (i % 4 == 0) folder.write(concat("in/copy/", i, ".txt"), text);
        if (i % 5 == 0) folder.write(concat("in/near/", i, ".txt"), changed(text, 99, 4));
        // Half of it another text: shares much, but is no copy.
        if (i % 6 == 0) {
            folder.write(concat("in/other/", i, ".txt"),
                         text.substr(0, text.size() / 2) + words(1000 + uint64_t(i), 150));
        }
    }
    ThreadPool threads(2);
    const auto reports = collect({.sources = {{.name = "text", .roots = {folder / "in"}}}}, threads,
                                 folder / "out.jsonl");
    REQUIRE(reports.size() == 1);
    CHECK(reports[0].exact_duplicates == 15);
    CHECK(reports[0].near_duplicates == 12);
    CHECK(reports[0].documents == 70);
    CHECK(reports[0].files == 97);
    CHECK(accounted(reports[0]) == reports[0].files);
    const auto documents = read_all(folder / "out.jsonl");
    REQUIRE(documents.size() == 70);
    std::set<std::string> texts;
    int64_t bytes = 0;
    for (const Document& document : documents) {
        texts.insert(document.text);
        bytes += int64_t(document.text.size());
    }
    for (int i = 0; i < 60; ++i) CHECK(texts.contains(words(uint64_t(i), 300)));
    CHECK(reports[0].bytes == bytes);
}

TEST_CASE("collect: filters by size, ending and bytes; licence headers and odd bytes are kept") {
    const Folder folder;
    const std::string header = "/* Copyright. Permission is granted to copy. */\n" + words(1, 40);
    folder.write("in/a.h", header);
    folder.write("in/latin.h", words(2, 40) + "caf\xE9\n");
    folder.write("in/short.h", "x");
    folder.write("in/long.h", words(3, 1000));
    folder.write("in/zero.h", words(4, 40) + std::string(1, '\0'));
    folder.write("in/noise.h", words(5, 10) + std::string(60, '\xFF'));
    folder.write("in/a.txt", words(6, 40));
    folder.write("in/copyright", words(7, 40));
    folder.write("in/.h", words(8, 40));
    ThreadPool threads(1);
    const auto reports = collect({.sources = {{.name = "code",
                                               .roots = {folder / "in"},
                                               .patterns = {".h", "copyright"},
                                               .weight = 2}},
                                  .max_bytes = 3000},
                                 threads, folder / "out.jsonl");
    CHECK(reports[0].files == 7);
    CHECK(reports[0].documents == 3);
    CHECK(reports[0].too_short == 1);
    CHECK(reports[0].too_long == 1);
    CHECK(reports[0].binary == 2);
    const auto documents = read_all(folder / "out.jsonl");
    REQUIRE(documents.size() == 3);
    CHECK(documents[0].text == header);
    CHECK(documents[1].text == words(7, 40));
    CHECK(documents[2].text == words(2, 40) + "caf\xE9\n");
    CHECK(documents[0].source == "code");
    CHECK(documents[0].weight == 2);
}

TEST_CASE("collect: the same file for any number of threads, and for copies across sources") {
    const Folder folder;
    for (int i = 0; i < 700; ++i) {
        folder.write(concat("a/", i % 7, "/", i, ".txt"), words(uint64_t(i), 60));
        folder.write(concat("b/", i, ".txt"),
                     changed(words(uint64_t(i), 60), 3, i % 3 == 0 ? 0 : 20));
    }
    const CollectOptions options{
        .sources = {{.name = "a", .roots = {folder / "a"}},
                    {.name = "b", .roots = {folder / "b"}, .max_bytes = 40000}}};
    std::string first;
    for (const int count : {1, 2, 4}) {
        CAPTURE(count);
        ThreadPool threads(count);
        const auto reports = collect(options, threads, folder / "out.jsonl");
        CHECK(reports[0].documents == 700);
        CHECK(reports[1].exact_duplicates > 0);
        CHECK(reports[1].over_budget > 0);
        CHECK(reports[1].bytes >= 40000);
        CHECK(reports[1].bytes < 41000);
        CHECK(accounted(reports[1]) == 700);
        const std::string content = read_file(folder / "out.jsonl");
        if (first.empty()) first = content;
        CHECK(content == first);
    }
}

TEST_CASE("collect: symbolic links are counted, not followed") {
    const Folder folder;
    folder.write("in/deep/a.txt", words(1, 60));
    folder.write("outside.txt", words(2, 60));
    std::filesystem::create_directory_symlink(folder / "in", folder / "in/deep/loop");
    std::filesystem::create_symlink(folder / "outside.txt", folder / "in/link.txt");
    std::filesystem::create_symlink(folder / "nowhere", folder / "in/broken.txt");
    ThreadPool threads(1);
    const auto reports = collect({.sources = {{.name = "a", .roots = {folder / "in"}}}}, threads,
                                 folder / "o.jsonl");
    CHECK(reports[0].documents == 1);
    CHECK(reports[0].symbolic_links == 3);
}

TEST_CASE("collect: an empty corpus and impossible options are refused, and nothing is written") {
    const Folder folder;
    folder.write("in/a.txt", "short");
    ThreadPool threads(1);
    const auto refusal = [&](const CollectOptions& options) {
        return error_of([&] { collect(options, threads, folder / "o.jsonl"); });
    };
    const Source good{.name = "a", .roots = {folder / "in"}};
    CHECK(contains(refusal({.sources = {good}}), "empty corpus: none of 1 files"));
    CHECK(contains(refusal({.sources = {}}), "no source"));
    CHECK(contains(refusal({.sources = {good, good}}), "two sources are called 'a'"));
    CHECK(contains(refusal({.sources = {{.name = "a", .roots = {folder / "none"}}}}), "none"));
    CHECK(contains(refusal({.sources = {{.name = "a/b", .roots = {folder / "in"}}}}),
                   "source 'a/b'"));
    CHECK(contains(refusal({.sources = {{.name = "a", .roots = {folder / "in"}, .weight = 0}}}),
                   "weight"));
    CHECK(contains(refusal({.sources = {good}, .min_bytes = 9, .max_bytes = 8}), "leave nothing"));
    CHECK(contains(refusal({.sources = {good}, .near_duplicate = 0}), "threshold"));
    CHECK(!std::filesystem::exists(folder / "o.jsonl"));
    CHECK(std::distance(std::filesystem::directory_iterator(folder.path()), {}) == 1);
}
