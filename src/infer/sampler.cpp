#include "infer/sampler.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "core/random.h"

namespace hadal::infer {

Sampler::Sampler(const SamplingOptions& options) : options_(options) {
    const auto check = [](bool good, std::string_view what) {
        if (!good) throw Error(Error::Kind::usage, std::string(what));
    };
    check(options.temperature >= 0, "--temperature must be at least 0");
    check(options.top_k >= 0, "--top-k must be at least 0 (0 keeps every token)");
    check(options.top_p > 0 && options.top_p <= 1, "--top-p must be above 0 and at most 1");
    check(options.min_p >= 0 && options.min_p <= 1, "--min-p must be between 0 and 1");
}

void Sampler::keep_candidates(std::span<const float> logits) {
    candidates_.clear();
    for (size_t i = 0; i < logits.size(); ++i) candidates_.push_back({logits[i], int32_t(i)});
    const auto before = [](const Candidate& a, const Candidate& b) {
        return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
    };
    if (options_.top_k > 0 && size_t(options_.top_k) < candidates_.size()) {
        const auto cut = candidates_.begin() + options_.top_k;
        std::nth_element(candidates_.begin(), cut, candidates_.end(), before);
        candidates_.erase(cut, candidates_.end());
    }
    std::sort(candidates_.begin(), candidates_.end(), before);

    weights_.clear();
    double total = 0;
    for (const Candidate& candidate : candidates_) {
        weights_.push_back(std::exp((double(candidate.logit) - double(candidates_[0].logit)) /
                                    options_.temperature));
        total += weights_.back();
    }
    size_t count = 0;
    for (double reached = 0; count < weights_.size() && reached < options_.top_p * total; ++count) {
        reached += weights_[count];
    }
    while (count > 1 && weights_[count - 1] < options_.min_p) --count;  // weights_[0] is 1
    weights_.resize(std::max<size_t>(count, 1));
}

int32_t Sampler::sample(std::span<const float> logits, int64_t position) {
    if (options_.temperature == 0) {
        return int32_t(std::max_element(logits.begin(), logits.end()) - logits.begin());
    }
    keep_candidates(logits);
    double total = 0;
    for (const double weight : weights_) total += weight;
    double left = random_uniform(options_.seed, 0, uint64_t(position)) * total;
    for (size_t i = 0; i < weights_.size(); ++i) {
        left -= weights_[i];
        if (left < 0) return candidates_[i].id;
    }
    return candidates_[weights_.size() - 1].id;  // rounding ate the last bit
}

}  // namespace hadal::infer
