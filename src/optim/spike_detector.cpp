#include "optim/spike_detector.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hadal::optim {

namespace {

/// The mean of the two middle values where there are two.
double median_of(std::vector<double> values) {
    const auto middle = values.begin() + std::ptrdiff_t(values.size() / 2);
    std::ranges::nth_element(values, middle);
    if (values.size() % 2 == 1) return *middle;
    return (*std::max_element(values.begin(), middle) + *middle) / 2;
}

}  // namespace

SpikeDetector::Judgement SpikeDetector::judge(double value) const {
    constexpr int64_t kEnough = 32;
    constexpr double kNormal = 1.4826;   // 1 / Φ⁻¹(3/4)
    constexpr double kSmallest = 0.02;   // of the median
    constexpr double kNothing = 1e-300;  // a window of zeros: anything above is a spike
    Judgement judgement;
    if (values_.empty() || int64_t(values_.size()) < std::min(settings_.window, kEnough)) {
        return judgement;
    }
    judgement.median = median_of(values_);
    std::vector<double> distances;
    distances.reserve(values_.size());
    for (const double x : values_) distances.push_back(std::abs(x - judgement.median));
    const double spread = std::max({kNormal * median_of(std::move(distances)),
                                    kSmallest * std::abs(judgement.median), kNothing});
    judgement.deviation = (value - judgement.median) / spread;
    judgement.spike = judgement.deviation > settings_.threshold;
    return judgement;
}

void SpikeDetector::add(double value) {
    if (settings_.window == 0) return;
    values_.push_back(value);
    if (int64_t(values_.size()) > settings_.window) values_.erase(values_.begin());
}

void SpikeDetector::restore(std::vector<double> values) {
    values_ = std::move(values);
    const int64_t surplus = int64_t(values_.size()) - settings_.window;
    if (surplus > 0) values_.erase(values_.begin(), values_.begin() + surplus);
}

}  // namespace hadal::optim
