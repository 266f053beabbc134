#include "infer/sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>

#include "core/error.h"
#include "core/random.h"

namespace hadal::infer {

namespace {

// The vocabulary is walked with every token, on one thread: as many independent sums and maxima as
// a compiler can keep in vectors.
constexpr size_t kLanes = 32;

bool all_finite(std::span<const float> logits) {
    std::array<float, kLanes> zero{};  // stays zero as long as every logit is finite
    const size_t whole = logits.size() / kLanes * kLanes;
    for (size_t i = 0; i < whole; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) zero[lane] += logits[i + lane] * 0.0f;
    }
    for (size_t i = whole; i < logits.size(); ++i) zero[0] += logits[i] * 0.0f;
    return std::ranges::all_of(zero, [](float sum) { return sum == 0; });
}

/// The lowest index of the largest logit; all are numbers.
int32_t index_of_largest(std::span<const float> logits) {
    std::array<float, kLanes> largest;
    largest.fill(-std::numeric_limits<float>::infinity());
    const size_t whole = logits.size() / kLanes * kLanes;
    for (size_t i = 0; i < whole; i += kLanes) {
        for (size_t lane = 0; lane < kLanes; ++lane) {
            largest[lane] = largest[lane] < logits[i + lane] ? logits[i + lane] : largest[lane];
        }
    }
    float most = std::ranges::max(largest);
    for (size_t i = whole; i < logits.size(); ++i) most = std::max(most, logits[i]);
    return int32_t(std::ranges::find(logits, most) - logits.begin());
}

}  // namespace

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

bool Sampler::comes_before(const Candidate& a, const Candidate& b) {
    return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

/// All ids, or the top_k most probable of them, in no order.
void Sampler::collect_candidates(std::span<const float> logits) {
    candidates_.resize(logits.size());
    for (size_t i = 0; i < logits.size(); ++i) candidates_[i] = {logits[i], int32_t(i)};
    weights_.reserve(logits.size());
    ordered_ = 0;
    if (options_.top_k <= 0 || size_t(options_.top_k) >= candidates_.size()) return;
    const auto cut = candidates_.begin() + options_.top_k;
    std::nth_element(candidates_.begin(), cut, candidates_.end(), comes_before);
    candidates_.erase(cut, candidates_.end());
}

/// The next most probable of all: few are ever looked at, so the rest is not sorted.
const Sampler::Candidate& Sampler::candidate(size_t i) {
    if (i >= ordered_) {
        const auto begin = candidates_.begin() + ptrdiff_t(ordered_);
        ordered_ = std::min(candidates_.size(), std::max<size_t>(64, 4 * ordered_));
        const auto end = candidates_.begin() + ptrdiff_t(ordered_);
        if (end != candidates_.end()) {
            std::nth_element(begin, end, candidates_.end(), comes_before);
        }
        std::sort(begin, end, comes_before);
    }
    return candidates_[i];
}

/// Inverts the distribution of what is kept at `uniform`.
int32_t Sampler::draw(double uniform) {
    const auto largest = double(candidate(0).logit);
    const auto weight = [&](const Candidate& candidate) {
        return std::exp((double(candidate.logit) - largest) / options_.temperature);
    };
    double total = 0;
    for (const Candidate& candidate : candidates_) total += weight(candidate);
    // Where nothing is cut off, what is kept is known before it is walked.
    const bool keeps_all = options_.top_p == 1 && options_.min_p == 0;
    const double goal = (keeps_all ? uniform : options_.top_p) * total;
    weights_.clear();
    double reached = 0;
    while (weights_.size() < candidates_.size() && (keeps_all ? reached <= goal : reached < goal)) {
        const double next = weight(candidate(weights_.size()));
        if (next == 0 || next < options_.min_p) break;  // the first is 1
        weights_.push_back(next);
        reached += next;
    }
    size_t chosen = weights_.size() - 1;  // also where rounding ate the last bit
    double left = uniform * reached;
    for (size_t i = 0; i < weights_.size() && !keeps_all; ++i) {
        left -= weights_[i];
        if (left >= 0) continue;
        chosen = i;
        break;
    }
    return candidates_[chosen].id;
}

int32_t Sampler::sample(std::span<const float> logits, int64_t position) {
    return sample(logits, position, {});
}

int32_t Sampler::sample(std::span<const float> logits, int64_t position,
                        std::span<const uint64_t> allowed) {
    if (!all_finite(logits)) return -1;
    logits = adjusted(logits, allowed);
    if (options_.temperature == 0) {
        return index_of_largest(logits);
    }
    collect_candidates(logits);
    return draw(random_uniform(options_.seed, 0, uint64_t(position)));
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
