#include "text/piece_counts.h"

#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "core/random.h"

using namespace hadal;
using namespace hadal::text;

namespace {

std::vector<std::string> random_documents(int count, uint64_t seed) {
    RandomSequence random(seed);
    const std::vector<std::string> words = {"the",   " fox", " runs", "\n",   "12",
                                            "34567", " é",   "!",     " the", "  "};
    std::vector<std::string> documents;
    for (int d = 0; d < count; ++d) {
        std::string text;
        for (uint64_t i = random.below(60); i-- > 0;) text += words[random.below(words.size())];
        documents.push_back(std::move(text));
    }
    return documents;
}

}  // namespace

TEST_CASE("piece counts: every piece of every document, in byte order, for any number of threads") {
    const Pretokenizer pretokenizer(v3_splits());
    const auto documents = random_documents(200, 1);
    const std::vector<std::string_view> views(documents.begin(), documents.end());
    std::map<std::string, int64_t> wanted;
    for (const auto& text : documents) {
        std::vector<std::string_view> pieces;
        pretokenizer.split(text, pieces);
        for (const auto piece : pieces) ++wanted[std::string(piece)];
    }
    for (const int count : {1, 2, 4}) {
        CAPTURE(count);
        ThreadPool threads(count);
        const auto counts = count_pieces(threads, pretokenizer, views);
        REQUIRE(counts.size() == wanted.size());
        auto expected = wanted.begin();
        for (const PieceCount& found : counts) {
            CHECK(found.piece == expected->first);
            CHECK(found.count == expected->second);
            ++expected;
        }
    }
}

TEST_CASE("piece counts: no text has no pieces") {
    ThreadPool threads(2);
    const Pretokenizer pretokenizer(v3_splits());
    CHECK(count_pieces(threads, pretokenizer, {}).empty());
    const std::vector<std::string_view> empty = {"", ""};
    CHECK(count_pieces(threads, pretokenizer, empty).empty());
}
