// What a run leaves for people and tools to look at: metrics.jsonl, TensorBoard events, log.txt;
// loss.svg, expert_load.svg and .json, expert_balance.svg. A run begins only where it can write
// them; after that, a full or broken disk costs lines and pictures, never the training.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "train/metrics.h"
#include "train/tensorboard.h"

namespace hadal::train {

class RunLog {
  public:
    using Warn = std::function<void(const std::string&)>;

    /// Continues after `step`: lines of later steps, and one cut short by a kill, are removed. Step
    /// 0 begins anew. `warn` hears of the first file that can no longer be written.
    RunLog(
        std::filesystem::path run, int64_t step, bool tensorboard,
        Warn warn = [](const std::string&) {});

    /// Appends a line, flushed to the system: a kill loses nothing.
    void add(const Metrics& metrics, const std::vector<std::vector<int64_t>>& expert_load);
    /// A line with the time in log.txt.
    void note(std::string_view text);
    /// Replaces the pictures: losses and balance of the whole run, expert loads since the last
    /// drawing. Puts back lines of metrics.jsonl that could not be written before.
    void draw(bool log_axis);

    const std::vector<Metrics>& history() const {
        return history_;
    }

  private:
    void truncate(int64_t step);
    void draw_expert_load();
    void open_metrics();
    void repair_metrics();
    /// Runs `write`; a disk that refuses is told of once.
    template <class Write>
    bool attempt(const Write& write);

    std::filesystem::path run_;
    std::vector<Metrics> history_;
    std::ofstream metrics_;
    bool torn_ = false;  // metrics.jsonl lacks lines of history_
    Warn warn_;
    bool warned_ = false;
    std::unique_ptr<TensorboardWriter> tensorboard_;
    std::vector<std::vector<int64_t>> expert_load_;  // sums since the last drawing
};

/// The text of loss.svg.
std::string loss_chart_svg(const std::vector<Metrics>& history, bool log_axis);
/// The text of expert_balance.svg: each MoE layer's max violation over the run, time to the right.
std::string balance_chart_svg(const std::vector<Metrics>& history);

/// Tokens of each expert, per MoE layer, up to a step.
struct ExpertLoad {
    int64_t step = 0;
    std::vector<std::vector<int64_t>> load;
};
/// Reads RUN/expert_load.json; nullopt where there is none, or not a whole one.
std::optional<ExpertLoad> read_expert_load(const std::filesystem::path& run);

}  // namespace hadal::train
