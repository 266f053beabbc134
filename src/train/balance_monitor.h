// Watches the experts' loads over the steps of a run: which experts get no token, and which starve
// for so long that the bias update (report §2.1.2) is plainly not bringing them back.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace hadal::train {

struct ExpertPlace {
    int64_t layer = 0;  // MoE layers from 0, MTP's last
    int64_t expert = 0;
};

class BalanceMonitor {
  public:
    struct Finding {
        int64_t dead = 0;                // experts that got no token in this step
        int64_t starved = 0;             // experts that starve for at least `steps` steps now
        std::vector<ExpertPlace> newly;  // those of them for which it is the first such step
    };

    /// An expert starves in a step in which it gets less than a sixteenth of the mean load. 0
    /// steps: no expert ever counts as starved.
    explicit BalanceMonitor(int64_t steps) : steps_(steps) {}

    Finding update(const std::vector<std::vector<int64_t>>& expert_load);

    /// Steps for which each expert has been starving, per layer: what a snapshot must hold.
    const std::vector<std::vector<int64_t>>& state() const {
        return starving_;
    }
    void restore(std::vector<std::vector<int64_t>> state);

  private:
    int64_t steps_;
    std::vector<std::vector<int64_t>> starving_;
};

/// "experts 3, 17 of MoE layer 2, expert 0 of MoE layer 5", layers from 1.
std::string places_text(const std::vector<ExpertPlace>& places);

}  // namespace hadal::train
