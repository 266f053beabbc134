#include "data/near_duplicates.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "core/random.h"
#include "data/content_hash.h"

namespace hadal::data {

namespace {

constexpr size_t kShingleWords = 5;
constexpr uint64_t kSeed =
    0x6861646131ull;  // fixed: what is a duplicate must not depend on the run

bool in_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           uint8_t(c) >= 0x80;
}

bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

std::vector<uint64_t> word_hashes(std::string_view text) {
    std::vector<uint64_t> words;
    for (size_t i = 0; i < text.size();) {
        if (is_space(text[i])) {
            ++i;
            continue;
        }
        size_t end = i + 1;
        if (in_word(text[i])) {
            while (end < text.size() && in_word(text[end])) ++end;
        }
        words.push_back(content_hash(text.substr(i, end - i), kSeed));
        i = end;
    }
    return words;
}

uint64_t band_key(const Signature& signature, int band) {
    uint64_t key = kSeed;
    for (int row = 0; row < kBandRows; ++row) {
        key = random_bits(key, uint64_t(band), signature[size_t(band * kBandRows + row)]);
    }
    return key;
}

}  // namespace

std::vector<uint64_t> shingles(std::string_view text) {
    const std::vector<uint64_t> words = word_hashes(text);
    std::vector<uint64_t> found;
    if (words.empty()) return found;
    const size_t width = std::min(kShingleWords, words.size());
    found.reserve(words.size());
    for (size_t i = 0; i + width <= words.size(); ++i) {
        uint64_t hash = kSeed;
        for (size_t k = 0; k < width; ++k)
            hash = mix_bits(hash * 0x9E3779B97F4A7C15ull + words[i + k]);
        found.push_back(hash);
    }
    std::sort(found.begin(), found.end());
    found.erase(std::unique(found.begin(), found.end()), found.end());
    return found;
}

double jaccard(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b) {
    size_t common = 0;
    for (size_t i = 0, k = 0; i < a.size() && k < b.size();) {
        if (a[i] == b[k]) ++common;
        const bool step_a = a[i] <= b[k];
        const bool step_b = b[k] <= a[i];
        i += step_a;
        k += step_b;
    }
    const size_t all = a.size() + b.size() - common;
    return all == 0 ? 1 : double(common) / double(all);
}

Signature min_hash(const std::vector<uint64_t>& shingles) {
    Signature signature;
    signature.fill(std::numeric_limits<uint32_t>::max());
    std::array<uint64_t, signature.size()> multipliers{};
    for (size_t i = 0; i < multipliers.size(); ++i) multipliers[i] = random_bits(kSeed, 1, i) | 1;
    for (const uint64_t shingle : shingles) {
        for (size_t i = 0; i < signature.size(); ++i) {
            // Multiply-shift: the high half of a product with an odd number; the shingle is well
            // mixed already.
            signature[i] = std::min(signature[i], uint32_t((shingle * multipliers[i]) >> 32));
        }
    }
    return signature;
}

double estimated_similarity(const Signature& a, const Signature& b) {
    int equal = 0;
    for (size_t i = 0; i < a.size(); ++i) equal += a[i] == b[i];
    return double(equal) / double(a.size());
}

std::vector<int64_t> SimilarityIndex::candidates(const Signature& signature,
                                                 double threshold) const {
    std::vector<int64_t> numbers;
    for (int band = 0; band < kBands; ++band) {
        const auto found = bands_[size_t(band)].find(band_key(signature, band));
        if (found == bands_[size_t(band)].end()) continue;
        numbers.insert(numbers.end(), found->second.begin(), found->second.end());
    }
    std::sort(numbers.begin(), numbers.end());
    numbers.erase(std::unique(numbers.begin(), numbers.end()), numbers.end());
    std::vector<std::pair<double, int64_t>> likely;
    for (const int64_t number : numbers) {
        const double estimate = estimated_similarity(signature, signatures_[size_t(number)]);
        if (estimate >= threshold - 0.15) likely.emplace_back(-estimate, number);
    }
    std::sort(likely.begin(), likely.end());
    for (size_t i = 0; i < likely.size(); ++i) numbers[i] = likely[i].second;
    numbers.resize(likely.size());
    return numbers;
}

void SimilarityIndex::add(const Signature& signature) {
    for (int band = 0; band < kBands; ++band) {
        bands_[size_t(band)][band_key(signature, band)].push_back(int64_t(signatures_.size()));
    }
    signatures_.push_back(signature);
}

}  // namespace hadal::data
