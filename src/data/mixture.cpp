#include "data/mixture.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"

namespace hadal::data {

namespace {

/// Whole shares of the cycle: rounded down but at least one; what is left goes to those that lost
/// most by rounding, what tiny sources were given beyond their due comes from the largest.
std::vector<int64_t> whole_shares(const std::vector<double>& weights, int64_t cycle) {
    const double total = std::accumulate(weights.begin(), weights.end(), 0.0);
    std::vector<int64_t> shares;
    std::vector<double> lost;
    for (const double weight : weights) {
        const double exact = weight / total * double(cycle);
        shares.push_back(std::max<int64_t>(1, int64_t(exact)));
        lost.push_back(exact - double(shares.back()));
    }
    int64_t left = cycle - std::accumulate(shares.begin(), shares.end(), int64_t(0));
    for (; left > 0; --left) {
        const auto it = std::max_element(lost.begin(), lost.end());
        ++shares[size_t(it - lost.begin())];
        *it -= 1;
    }
    for (; left < 0; ++left) --*std::max_element(shares.begin(), shares.end());
    return shares;
}

}  // namespace

MixtureSchedule::MixtureSchedule(const std::vector<double>& weights) {
    if (weights.empty() || weights.size() > size_t(kCycle) / 16) {
        throw Error(Error::Kind::bad_input,
                    concat("a mixture of ", weights.size(), " sources (1 to ", kCycle / 16, ")"));
    }
    for (size_t i = 0; i < weights.size(); ++i) {
        if (!(weights[i] > 0) || !std::isfinite(weights[i])) {
            throw Error(Error::Kind::bad_input,
                        concat("mixture weight of source ", i, " is ", weights[i],
                               " (must be positive; leave the source out instead)"));
        }
    }
    shares_ = whole_shares(weights, kCycle);
    std::vector<int64_t> taken(weights.size());
    cycle_.reserve(size_t(kCycle));
    for (int64_t j = 0; j < kCycle; ++j) {
        // The source that is furthest behind its due share share · (j + 1) / cycle, in whole
        // numbers; the first of equals.
        size_t chosen = 0;
        int64_t furthest = INT64_MIN;
        for (size_t i = 0; i < shares_.size(); ++i) {
            const int64_t behind = shares_[i] * (j + 1) - taken[i] * kCycle;
            if (taken[i] < shares_[i] && behind > furthest) {
                furthest = behind;
                chosen = i;
            }
        }
        cycle_.push_back({int32_t(chosen), int32_t(taken[chosen]++)});
    }
}

MixtureSchedule::Turn MixtureSchedule::turn(int64_t sample) const {
    HADAL_ASSERT(sample >= 0);
    const Entry entry = cycle_[size_t(sample % kCycle)];
    return {entry.source, sample / kCycle * shares_[size_t(entry.source)] + entry.rank};
}

}  // namespace hadal::data
