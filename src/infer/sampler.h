// From logits to a token. A choice depends on the logits, the options and the token's position
// alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace hadal::infer {

struct SamplingOptions {
    double temperature = 0;  // 0: the most probable token, the lowest id on a tie
    int64_t top_k = 0;       // keep the k most probable; 0 keeps all
    double top_p = 1;        // then the fewest whose probabilities reach top_p
    double min_p = 0;        // then those of at least min_p times the largest probability
    uint64_t seed = 0;
};

class Sampler {
  public:
    /// Error(usage) where an option is out of its range, naming it.
    explicit Sampler(const SamplingOptions& options);

    /// The token for `position` (its index in the sequence): drawn by inverting the distribution at
    /// a uniform number of (seed, position), so that a text is the same with and without
    /// speculation.
    int32_t sample(std::span<const float> logits,  // [vocab]
                   int64_t position);

  private:
    struct Candidate {
        float logit;
        int32_t id;
    };
    void keep_candidates(std::span<const float> logits);

    SamplingOptions options_;
    std::vector<Candidate> candidates_;  // most probable first
    std::vector<double> weights_;        // unnormalised probabilities of the candidates
};

}  // namespace hadal::infer
