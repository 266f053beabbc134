#include "train/balance_monitor.h"

#include <numeric>
#include <utility>

#include "core/error.h"

namespace hadal::train {

BalanceMonitor::Finding BalanceMonitor::update(
    const std::vector<std::vector<int64_t>>& expert_load) {
    constexpr int64_t kStarved = 16;  // part of the mean load
    Finding finding;
    starving_.resize(expert_load.size());
    for (size_t layer = 0; layer < expert_load.size(); ++layer) {
        const auto& load = expert_load[layer];
        auto& starving = starving_[layer];
        starving.resize(load.size());
        const auto total = std::accumulate(load.begin(), load.end(), int64_t(0));
        for (size_t e = 0; e < load.size(); ++e) {
            finding.dead += load[e] == 0;
            const bool starves = load[e] * int64_t(load.size()) * kStarved < total;
            starving[e] = starves ? starving[e] + 1 : 0;
            if (steps_ == 0 || starving[e] < steps_) continue;
            ++finding.starved;
            if (starving[e] == steps_)
                finding.newly.push_back({.layer = int64_t(layer), .expert = int64_t(e)});
        }
    }
    return finding;
}

void BalanceMonitor::restore(std::vector<std::vector<int64_t>> state) {
    starving_ = std::move(state);
}

std::string places_text(const std::vector<ExpertPlace>& places) {
    std::string text;
    for (size_t i = 0; i < places.size();) {
        size_t end = i;
        std::string experts;
        for (; end < places.size() && places[end].layer == places[i].layer; ++end) {
            experts += concat(end == i ? "" : ", ", places[end].expert);
        }
        text += concat(text.empty() ? "" : ", ", end - i == 1 ? "expert " : "experts ", experts,
                       " of MoE layer ", places[i].layer + 1);
        i = end;
    }
    return text;
}

}  // namespace hadal::train
