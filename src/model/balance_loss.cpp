#include "model/balance_loss.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace hadal::model {

namespace {

/// f_i of eq. 18 for the tokens begin … end − 1.
std::vector<double> choice_shares(const Tensor& ids, int64_t begin, int64_t end, int64_t experts) {
    std::vector<double> shares(static_cast<size_t>(experts), 0.0);
    for (int64_t t = begin; t < end; ++t) {
        for (const int32_t id : ids.row<int32_t>(t)) shares[size_t(id)] += 1;
    }
    const double scale = double(experts) / (double(ids.shape()[1]) * double(end - begin));
    for (double& share : shares) share *= scale;
    return shares;
}

template <class T>
double sequence_loss(const Tensor& scores, const std::vector<double>& shares, int64_t begin,
                     int64_t end) {
    double loss = 0;
    for (int64_t t = begin; t < end; ++t) {
        const auto s = scores.row<T>(t);  // [experts]
        double sum = 0, weighted = 0;
        for (size_t i = 0; i < s.size(); ++i) {
            sum += double(s[i]);
            weighted += shares[i] * double(s[i]);
        }
        loss += weighted / sum;
    }
    return loss / double(end - begin);
}

template <class T>
void add_sequence_gradient(const Tensor& scores, const std::vector<double>& shares, int64_t begin,
                           int64_t end, double scale, Tensor& d_scores) {
    for (int64_t t = begin; t < end; ++t) {
        const auto s = scores.row<T>(t);    // [experts]
        const auto d = d_scores.row<T>(t);  // [experts]
        double sum = 0, weighted = 0;
        for (size_t i = 0; i < s.size(); ++i) {
            sum += double(s[i]);
            weighted += shares[i] * double(s[i]);
        }
        // d/ds_i of Σ_j f_j s_j / Σ_j s_j
        const double mean = weighted / sum;
        const double factor = scale / (double(end - begin) * sum);
        for (size_t i = 0; i < s.size(); ++i) d[i] += T(factor * (shares[i] - mean));
    }
}

}  // namespace

double balance_loss(Context& context, const Tensor& scores, const Tensor& ids,
                    std::span<const int64_t> starts) {
    const int64_t experts = scores.shape()[1];
    std::vector<double> losses(starts.size() - 1, 0.0);
    context.threads.parallel_for(int64_t(losses.size()), [&](int64_t s) {
        const int64_t begin = starts[size_t(s)], end = starts[size_t(s) + 1];
        if (begin == end) return;
        const auto shares = choice_shares(ids, begin, end, experts);
        losses[size_t(s)] = scores.dtype() == DType::f64
                                ? sequence_loss<double>(scores, shares, begin, end)
                                : sequence_loss<float>(scores, shares, begin, end);
    });
    return std::accumulate(losses.begin(), losses.end(), 0.0);
}

void balance_loss_backward(Context& context, const Tensor& scores, const Tensor& ids,
                           std::span<const int64_t> starts, double scale, Tensor& d_scores) {
    const int64_t experts = scores.shape()[1];
    context.threads.parallel_for(int64_t(starts.size()) - 1, [&](int64_t s) {
        const int64_t begin = starts[size_t(s)], end = starts[size_t(s) + 1];
        if (begin == end) return;
        const auto shares = choice_shares(ids, begin, end, experts);
        if (scores.dtype() == DType::f64) {
            add_sequence_gradient<double>(scores, shares, begin, end, scale, d_scores);
        } else {
            add_sequence_gradient<float>(scores, shares, begin, end, scale, d_scores);
        }
    });
}

void update_bias(std::span<const int64_t> load, double gamma, std::span<float> bias) {
    const int64_t total = std::accumulate(load.begin(), load.end(), int64_t(0));
    for (size_t i = 0; i < load.size(); ++i) {
        // Whole numbers: load_i against total / experts without rounding.
        const int64_t difference = total - load[i] * int64_t(load.size());
        if (difference > 0) bias[i] += float(gamma);
        if (difference < 0) bias[i] -= float(gamma);
    }
}

double max_violation(std::span<const int64_t> load) {
    const int64_t total = std::accumulate(load.begin(), load.end(), int64_t(0));
    if (total == 0) return 0;
    const int64_t largest = *std::max_element(load.begin(), load.end());
    return double(largest) * double(load.size()) / double(total) - 1;
}

double load_entropy(std::span<const int64_t> load) {
    const int64_t total = std::accumulate(load.begin(), load.end(), int64_t(0));
    if (total == 0 || load.size() < 2) return 1;
    double entropy = 0;
    for (const int64_t count : load) {
        if (count == 0) continue;
        const double share = double(count) / double(total);
        entropy -= share * std::log(share);
    }
    return entropy / std::log(double(load.size()));
}

}  // namespace hadal::model
