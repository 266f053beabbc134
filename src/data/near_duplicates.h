// Finding documents that are almost the same: MinHash signatures of word shingles (Broder 1997),
// banded so that only likely pairs are looked at (Leskovec, Rajaraman and Ullman, "Mining of
// Massive Datasets", chapter 3). The index proposes; who drops a document compares the shingle sets
// themselves, so that no estimate ever costs a document.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace hadal::data {

/// Hashes of every run of five words, sorted, each once; a shorter text has one for all of it. A
/// word is a run of ASCII letters and digits and bytes beyond ASCII, or any other single byte that
/// is not white space: so that layout does not matter, in prose or code.
std::vector<uint64_t> shingles(std::string_view text);

/// |a ∩ b| / |a ∪ b| of two sorted sets; 1 for two empty ones.
double jaccard(const std::vector<uint64_t>& a, const std::vector<uint64_t>& b);

/// Two signatures agree in one place with the probability of the sets' Jaccard similarity. 20 bands
/// of 6 rows find a pair of similarity 0.8 with probability 1 − (1 − 0.8⁶)²⁰ = 0.998, one of 0.3
/// with 0.014.
constexpr int kBands = 20;
constexpr int kBandRows = 6;
using Signature = std::array<uint32_t, size_t(kBands) * kBandRows>;

Signature min_hash(const std::vector<uint64_t>& shingles);

/// Share of equal places: the estimate of the Jaccard similarity, standard error ≤ 0.046.
double estimated_similarity(const Signature& a, const Signature& b);

class SimilarityIndex {
  public:
    /// Numbers of earlier signatures that share a band and whose estimate is at least `threshold` −
    /// 0.15 (three standard errors), best estimate first, then the earliest.
    std::vector<int64_t> candidates(const Signature& signature, double threshold) const;
    /// The signature's number is how many were added before.
    void add(const Signature& signature);

  private:
    std::vector<Signature> signatures_;
    std::array<std::unordered_map<uint64_t, std::vector<int64_t>>, kBands> bands_;
};

}  // namespace hadal::data
