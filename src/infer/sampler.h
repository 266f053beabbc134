// From logits to a token. A choice depends on the logits, the options and the token's position
// alone.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

namespace hadal::infer {

struct SamplingOptions {
    double temperature = 0;  // 0: the most probable token, the lowest id on a tie
    int64_t top_k = 0;       // keep the k most probable; 0 keeps all
    double top_p = 1;        // then the fewest whose probabilities reach top_p
    double min_p = 0;        // then those of at least min_p times the largest probability
    uint64_t seed = 0;

    // Before the temperature, on the logits:
    double repetition_penalty = 1;  // of ids in the prompt or the text so far: positive logits are
                                    // divided by it, negative ones multiplied (Keskar et al. 2019)
    double frequency_penalty = 0;   // subtracted for every time an id was generated
    double presence_penalty = 0;    // subtracted once if it was
    std::vector<std::pair<int32_t, float>> logit_bias = {};  // added to the logit of an id
};

class Sampler {
  public:
    /// Error(usage) where an option is out of its range, naming it.
    explicit Sampler(const SamplingOptions& options);

    /// The text before the first token that is sampled; penalties look at it.
    void begin(std::span<const int32_t> prompt);

    /// The token for `position` (its index in the sequence): drawn by inverting the distribution at
    /// a uniform number of (seed, position), so that a text is the same with and without
    /// speculation. −1 if the logits are no numbers.
    int32_t sample(std::span<const float> logits,  // [vocab]
                   int64_t position);
    /// The same among the ids whose bits are set; at least one must be.
    int32_t sample(std::span<const float> logits, int64_t position,
                   std::span<const uint64_t> allowed);
    /// The token has become part of the text.
    void accept(int32_t token);

  private:
    struct Candidate {
        float logit;
        int32_t id;
    };
    bool has_penalties() const;
    std::span<const float> adjusted(std::span<const float> logits,
                                    std::span<const uint64_t> allowed);
    static bool comes_before(const Candidate& a, const Candidate& b);
    void collect_candidates(std::span<const float> logits);
    const Candidate& candidate(size_t i);
    int32_t draw(double uniform);

    SamplingOptions options_;
    std::vector<Candidate> candidates_;  // the first `ordered_`: most probable first
    size_t ordered_ = 0;
    std::vector<double> weights_;  // unnormalised probabilities of the first ones
    std::vector<float> adjusted_;  // logits with penalties and biases
    std::unordered_map<int32_t, int64_t> generated_;  // times an id was
    std::unordered_set<int32_t> seen_;                // ids of prompt and text
};

struct TokenLogprob {
    int32_t id;
    float logprob;  // natural logarithm, of the model's own distribution
};
/// The `count` most probable ids below `num_ids` (0: of all), falling, and the log-probability of
/// each, given that of any id.
std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, TokenLogprob known,
                                       int64_t count, int64_t num_ids = 0);

}  // namespace hadal::infer
