#include "infer/sampler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/random.h"

using namespace hadal;
using infer::Sampler;
using infer::SamplingOptions;

namespace {

const std::vector<float> kLogits = {std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

std::map<int32_t, double> shares(const SamplingOptions& options) {
    Sampler sampler(options);
    std::map<int32_t, double> counts;
    constexpr int kDraws = 20000;
    for (int i = 0; i < kDraws; ++i) counts[sampler.sample(kLogits, i)] += 1.0 / kDraws;
    return counts;
}

// Five standard deviations of a share of 20 000 draws: below 5·√(0.25/20000).
constexpr double kTolerance = 0.018;

std::vector<float> random_logits(size_t count, uint64_t seed) {
    RandomSequence random(seed);
    std::vector<float> logits(count);
    for (float& logit : logits) logit = float(random.below(4001)) / 400 - 5;  // with equal ones
    return logits;
}

/// The definition, word by word: sort everything, keep, draw.
int32_t sampled_by_sorting(std::span<const float> logits, const SamplingOptions& options,
                           int64_t position) {
    std::vector<int32_t> ids(logits.size());
    std::iota(ids.begin(), ids.end(), 0);
    std::ranges::stable_sort(
        ids, [&](int32_t a, int32_t b) { return logits[size_t(a)] > logits[size_t(b)]; });
    if (options.top_k > 0) ids.resize(std::min(ids.size(), size_t(options.top_k)));
    std::vector<double> weights;
    for (const int32_t id : ids) {
        const double below = double(logits[size_t(id)]) - double(logits[size_t(ids[0])]);
        weights.push_back(std::exp(below / options.temperature));
    }
    const double all = std::reduce(weights.begin(), weights.end());
    size_t kept = 0;
    for (double sum = 0; kept < ids.size() && sum < options.top_p * all; ++kept) {
        if (weights[kept] < options.min_p) break;
        sum += weights[kept];
    }
    weights.resize(kept);
    double left = random_uniform(options.seed, 0, uint64_t(position)) *
                  std::reduce(weights.begin(), weights.end());
    size_t i = 0;
    while (i + 1 < kept && (left -= weights[i]) >= 0) ++i;
    return ids[i];
}

}  // namespace

TEST_CASE("sampler: temperature 0 takes the most probable token, the lowest id on a tie") {
    Sampler sampler({});
    CHECK(sampler.sample(kLogits, 3) == 1);
    CHECK(sampler.sample(std::vector<float>{2, 5, 5}, 0) == 1);
}

TEST_CASE("sampler: draws follow the softmax at temperature 1 and its square at 0.5") {
    auto counts = shares({.temperature = 1, .seed = 1});
    CHECK(std::fabs(counts[0] - 0.1) < kTolerance);
    CHECK(std::fabs(counts[1] - 0.4) < kTolerance);
    CHECK(std::fabs(counts[3] - 0.3) < kTolerance);
    counts = shares({.temperature = 0.5, .seed = 2});
    CHECK(std::fabs(counts[1] - 0.16 / 0.30) < kTolerance);
}

TEST_CASE("sampler: top-k, top-p and min-p keep the tokens they should") {
    CHECK(shares({.temperature = 1, .top_k = 2}).size() == 2);
    CHECK(shares({.temperature = 1, .top_k = 1}).count(1) == 1);
    CHECK(shares({.temperature = 1, .top_p = 0.6}).size() == 2);  // 0.4 + 0.3 reach it
    CHECK(shares({.temperature = 1, .top_p = 0.75}).size() == 3);
    CHECK(shares({.temperature = 1, .min_p = 0.6}).size() == 2);  // at least 0.24
    const auto counts = shares({.temperature = 1, .top_k = 2, .seed = 3});
    CHECK(std::fabs(counts.at(1) - 0.4 / 0.7) < kTolerance);
}

TEST_CASE("sampler: of a large vocabulary it draws what sorting all of it gives") {
    const auto logits = random_logits(5003, 4);
    for (const SamplingOptions& options :
         {SamplingOptions{.temperature = 1.5}, SamplingOptions{.temperature = 0.3},
          SamplingOptions{.temperature = 1, .top_p = 0.9},
          SamplingOptions{.temperature = 0.7, .min_p = 0.02},
          SamplingOptions{.temperature = 2, .top_k = 700},
          SamplingOptions{.temperature = 1, .top_k = 50, .top_p = 0.5, .min_p = 0.1}}) {
        CAPTURE(options.temperature);
        CAPTURE(options.top_p);
        Sampler sampler(options);
        for (int64_t position = 0; position < 200; ++position) {
            CAPTURE(position);
            CHECK(sampler.sample(logits, position) ==
                  sampled_by_sorting(logits, options, position));
        }
    }
}

TEST_CASE("sampler: the largest logit is found wherever it stands, and so is what is no number") {
    constexpr float kBad[] = {NAN, INFINITY, -INFINITY};
    Sampler sampler({});
    auto logits = random_logits(101, 5);
    for (size_t i = 0; i < logits.size(); ++i) {
        const float kept = std::exchange(logits[i], 9.0f);
        CHECK(sampler.sample(logits, 0) == int32_t(i));
        for (const float bad : kBad) {
            logits[i] = bad;
            CHECK(sampler.sample(logits, 0) == -1);
        }
        logits[i] = kept;
    }
}

TEST_CASE("sampler: a choice depends on seed and position alone") {
    Sampler a({.temperature = 1, .seed = 9}), b({.temperature = 1, .seed = 9}),
        c({.temperature = 1, .seed = 10});
    int different = 0;
    for (int i = 99; i >= 0; --i) b.sample(kLogits, i);
    for (int i = 0; i < 100; ++i) {
        const int32_t choice = a.sample(kLogits, i);
        CHECK(choice == b.sample(kLogits, i));
        different += choice != c.sample(kLogits, i);
    }
    CHECK(different > 20);
}

TEST_CASE("sampler: options out of range are named") {
    CHECK_THROWS_WITH_AS(Sampler({.temperature = -1}), doctest::Contains("--temperature"), Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_k = -1}), doctest::Contains("--top-k"), Error);
    CHECK_THROWS_WITH_AS(Sampler({.top_p = 0}), doctest::Contains("--top-p"), Error);
    CHECK_THROWS_WITH_AS(Sampler({.min_p = 2}), doctest::Contains("--min-p"), Error);
}

TEST_CASE("sampler: penalties and biases change the logits as their formulas say") {
    const std::vector<float> logits = {2, 1.5f, -1, 1.2f};
    const auto greedy = [&](SamplingOptions options, const std::vector<int32_t>& prompt,
                            const std::vector<int32_t>& text) {
        Sampler sampler(options);
        sampler.begin(prompt);
        for (const int32_t id : text) sampler.accept(id);
        return sampler.sample(logits, 0);
    };
    CHECK(greedy({}, {0}, {0, 0}) == 0);
    CHECK(greedy({.repetition_penalty = 1.25}, {0}, {}) == 0);  // 1.6 is still the largest
    CHECK(greedy({.repetition_penalty = 1.5}, {0}, {}) == 1);   // 1.33 is not
    CHECK(greedy({.repetition_penalty = 1.5}, {}, {0, 1, 3}) == 0);
    CHECK(greedy({.frequency_penalty = 0.3}, {0, 0, 0}, {0}) == 0);  // the prompt does not count
    CHECK(greedy({.frequency_penalty = 0.3}, {}, {0, 0}) == 1);
    CHECK(greedy({.presence_penalty = 0.4}, {}, {0, 0, 0}) == 0);
    CHECK(greedy({.presence_penalty = 0.6}, {}, {0}) == 1);
    CHECK(greedy({.logit_bias = {{2, 4.0f}}}, {}, {}) == 2);
    CHECK(greedy({.logit_bias = {{0, -1.0f}, {99, 100.0f}}}, {}, {}) == 1);  // 99 is no id here
    // Negative logits are multiplied: an id seen may not become likelier.
    CHECK(greedy({.repetition_penalty = 0.01, .logit_bias = {{0, -9}, {1, -9}, {3, -9}}}, {2},
                 {}) == 2);
}

TEST_CASE("sampler: logits that are no numbers give no token") {
    Sampler greedy({}), drawing({.temperature = 1});
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
        const std::vector<float> logits = {0, bad, 1};
        CHECK(greedy.sample(logits, 0) == -1);
        CHECK(drawing.sample(logits, 0) == -1);
    }
}

TEST_CASE("sampler: the most probable tokens and their log-probabilities") {
    const auto top = infer::top_logprobs(kLogits, {0, std::log(0.1f)}, 3);
    REQUIRE(top.size() == 3);
    CHECK(top[0].id == 1);
    CHECK(top[1].id == 3);
    CHECK(top[2].id == 2);
    CHECK(top[0].logprob == doctest::Approx(std::log(0.4)));
    CHECK(infer::top_logprobs(kLogits, {0, 0}, 9).size() == 4);
    // Only ids below a bound, the known one may lie beyond it.
    const auto low = infer::top_logprobs(kLogits, {3, std::log(0.3f)}, 9, 2);
    REQUIRE(low.size() == 2);
    CHECK(low[0].id == 1);
    CHECK(low[0].logprob == doctest::Approx(std::log(0.4)));
}

TEST_CASE("sampler: the known token has the same number among the most probable ones") {
    // 30 − (30 − 1e−9) is not 1e−9 in doubles.
    const std::vector<float> logits = {30, -7};
    for (const float logprob : {-1e-9f, -3.3e-11f, -0.1f}) {
        CHECK(infer::top_logprobs(logits, {0, logprob}, 2)[0].logprob == logprob);
    }
}
