#include "text/bpe.h"

#include <doctest/doctest.h>

#include <map>
#include <numeric>
#include <optional>

#include "core/error.h"
#include "core/random.h"

namespace hadal::text {
namespace {

/// A vocabulary of all bytes and random merges over a few letters.
struct Vocabulary {
    std::vector<std::string> tokens;
    std::vector<Merge> merges;
    std::array<int32_t, 256> byte_ids{};

    explicit Vocabulary(uint64_t seed, int num_merges) {
        for (int byte = 0; byte < 256; ++byte) {
            byte_ids[byte] = byte;
            tokens.emplace_back(1, char(byte));
        }
        RandomSequence draw(seed);
        std::map<std::string, int32_t> ids;
        while (int(merges.size()) < num_merges) {
            // Letters a to c, and what was made of them.
            const auto pick = [&] {
                const uint64_t i = draw.below(3 + tokens.size() - 256);
                return int32_t(i < 3 ? 'a' + i : 256 + i - 3);
            };
            const int32_t left = pick();
            const int32_t right = pick();
            const std::string bytes = tokens[left] + tokens[right];
            if (bytes.size() > 12 || !ids.emplace(bytes, int32_t(tokens.size())).second) continue;
            merges.push_back({left, right, int32_t(tokens.size())});
            tokens.push_back(bytes);
        }
    }
    std::vector<int32_t> all_ids() const {
        std::vector<int32_t> ids(tokens.size());
        std::iota(ids.begin(), ids.end(), 0);
        return ids;
    }
    BytePairEncoder encoder(BytePairEncoder::Options options = {}) const {
        return BytePairEncoder(tokens, all_ids(), byte_ids, merges, options);
    }
};

/// The definition, word for word: the best-ranked pair anywhere, leftmost first, until none is
/// left.
std::vector<int32_t> encode_slowly(const Vocabulary& vocabulary, std::string_view piece) {
    std::vector<int32_t> ids;
    for (const char byte : piece) ids.push_back(static_cast<unsigned char>(byte));
    for (;;) {
        size_t best_rank = vocabulary.merges.size();
        size_t best = 0;
        for (size_t i = 0; i + 1 < ids.size(); ++i) {
            for (size_t rank = 0; rank < best_rank; ++rank) {
                const Merge& merge = vocabulary.merges[rank];
                if (merge.left == ids[i] && merge.right == ids[i + 1]) {
                    best_rank = rank;
                    best = i;
                }
            }
        }
        if (best_rank == vocabulary.merges.size()) return ids;
        ids[best] = vocabulary.merges[best_rank].result;
        ids.erase(ids.begin() + int64_t(best) + 1);
    }
}

TEST_CASE("bpe: short and long pieces follow the definition") {
    for (uint64_t seed = 0; seed < 12; ++seed) {
        const Vocabulary vocabulary(seed, 60);
        const BytePairEncoder encoder = vocabulary.encoder();
        BytePairEncoder::Scratch scratch;
        RandomSequence draw(seed, 1);
        // Around the length where the method changes too.
        for (const uint64_t length : {1, 2, 3, 5, 8, 13, 40, 47, 48, 49, 50, 77, 150}) {
            std::string piece;
            for (uint64_t i = 0; i < length; ++i) piece += char('a' + draw.below(3));
            std::vector<int32_t> ids;
            encoder.encode(piece, scratch, ids);
            CAPTURE(seed);
            CAPTURE(piece);
            CHECK(ids == encode_slowly(vocabulary, piece));
        }
    }
}

TEST_CASE("bpe: a piece that is a token is taken whole only if its merges lead there") {
    Vocabulary vocabulary(1, 0);
    for (const char* token : {"ab", "bc", "abc"}) vocabulary.tokens.push_back(token);
    // (b, c) comes first, so "abc", made of ab and c, is never reached.
    vocabulary.merges = {{'b', 'c', 257}, {'a', 'b', 256}, {256, 'c', 258}};
    BytePairEncoder::Scratch scratch;
    std::vector<int32_t> ids;
    vocabulary.encoder().encode("abc", scratch, ids);
    CHECK(ids == std::vector<int32_t>{'a', 257});
    ids.clear();
    vocabulary.encoder({.ignore_merges = true}).encode("abc", scratch, ids);
    CHECK(ids == std::vector<int32_t>{258});
}

TEST_CASE("bpe: a byte without a token is refused, at any length") {
    Vocabulary vocabulary(2, 10);
    vocabulary.byte_ids[0xFF] = -1;
    const BytePairEncoder encoder(vocabulary.tokens, std::vector<int32_t>{}, vocabulary.byte_ids,
                                  vocabulary.merges, {});
    BytePairEncoder::Scratch scratch;
    std::vector<int32_t> ids;
    CHECK_THROWS_AS(encoder.encode("a\xFF", scratch, ids), Error);
    CHECK_THROWS_AS(encoder.encode(std::string(99, 'a') + "\xFF\xFF", scratch, ids), Error);
}

TEST_CASE("bpe: a token is found by exactly its bytes") {
    const std::vector<std::string> tokens = {"a",        "",          "ab",
                                             "abcdefgh", "abcdefghi", std::string("\0x", 2)};
    const TokenTable table(tokens, std::vector<int32_t>{0, 1, 2, 3, 4, 5});
    for (const int32_t id : {0, 2, 3, 4, 5}) CHECK(table.find(tokens[id]) == id);
    for (const std::string_view other : {"", "b", "abc", "abcdefg", "abcdefghj", "abcdefghij"}) {
        CHECK(table.find(other) == -1);
    }
}

}  // namespace
}  // namespace hadal::text
