#include "infer/sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

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
    check(options.repetition_penalty > 0, "the repetition penalty must be above 0 (1 is none)");
    check(std::isfinite(options.frequency_penalty) && std::isfinite(options.presence_penalty),
          "frequency and presence penalties must be numbers");
    for (const auto& [id, bias] : options.logit_bias) {
        check(id >= 0 && !std::isnan(bias),
              "a logit bias needs an id of the vocabulary and a number");
    }
}

void Sampler::begin(std::span<const int32_t> prompt) {
    if (has_penalties()) seen_.insert(prompt.begin(), prompt.end());
}

void Sampler::accept(int32_t token) {
    if (!has_penalties()) return;
    ++generated_[token];
    seen_.insert(token);
}

bool Sampler::has_penalties() const {
    return options_.repetition_penalty != 1 || options_.frequency_penalty != 0 ||
           options_.presence_penalty != 0;
}

std::span<const float> Sampler::adjusted(std::span<const float> logits,
                                         std::span<const uint64_t> allowed) {
    if (!has_penalties() && options_.logit_bias.empty() && allowed.empty()) return logits;
    adjusted_.assign(logits.begin(), logits.end());
    const auto each = [&](const auto& ids, const auto& id_of, const auto& change) {
        for (const auto& entry : ids) {
            const auto id = size_t(id_of(entry));
            if (id < adjusted_.size()) adjusted_[id] = change(adjusted_[id], entry);
        }
    };
    const auto penalty = float(options_.repetition_penalty);
    each(
        seen_, [](int32_t id) { return id; },
        [&](float logit, int32_t) { return logit > 0 ? logit / penalty : logit * penalty; });
    const auto first = [](const auto& entry) { return entry.first; };
    each(generated_, first, [&](float logit, const auto& entry) {
        return float(double(logit) - options_.frequency_penalty * double(entry.second) -
                     options_.presence_penalty);
    });
    each(options_.logit_bias, first,
         [](float logit, const auto& entry) { return logit + entry.second; });
    for (size_t id = 0; id < adjusted_.size() && !allowed.empty(); ++id) {
        const bool is_allowed = id / 64 < allowed.size() && (allowed[id / 64] >> id % 64 & 1) != 0;
        if (!is_allowed) adjusted_[id] = -std::numeric_limits<float>::infinity();
    }
    return adjusted_;
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
    return sample(logits, position, {});
}

int32_t Sampler::sample(std::span<const float> logits, int64_t position,
                        std::span<const uint64_t> allowed) {
    float zero = 0;  // stays zero as long as every logit is finite
    for (const float logit : logits) zero += logit - logit;
    if (!(zero == 0)) return -1;
    logits = adjusted(logits, allowed);
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

std::vector<TokenLogprob> top_logprobs(std::span<const float> logits, TokenLogprob known,
                                       int64_t count, int64_t num_ids) {
    std::vector<int32_t> ids(num_ids > 0 ? size_t(num_ids) : logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    const auto end = ids.begin() + std::min<int64_t>(count, int64_t(ids.size()));
    std::partial_sort(ids.begin(), end, ids.end(), [&](int32_t a, int32_t b) {
        const float x = logits[size_t(a)], y = logits[size_t(b)];
        return x != y ? x > y : a < b;
    });
    std::vector<TokenLogprob> top;
    const double total = double(logits[size_t(known.id)]) - double(known.logprob);
    for (auto id = ids.begin(); id != end; ++id) {
        const auto logprob = float(double(logits[size_t(*id)]) - total);
        // The very same number: readers tell by it whether the known id is the best one.
        top.push_back({*id, *id == known.id ? known.logprob : logprob});
    }
    return top;
}

}  // namespace hadal::infer
