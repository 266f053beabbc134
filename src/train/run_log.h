// What a run leaves for people and tools to look at: metrics.jsonl, TensorBoard events, loss.svg,
// expert_load.svg, log.txt.
#pragma once

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <memory>
#include <string_view>
#include <vector>

#include "train/metrics.h"
#include "train/tensorboard.h"

namespace hadal::train {

class RunLog {
  public:
    /// Continues after `step`: lines of later steps, and one cut short by a kill, are removed. Step
    /// 0 begins anew.
    RunLog(std::filesystem::path run, int64_t step, bool tensorboard);

    /// Appends a line, flushed to the system: a kill loses nothing.
    void add(const Metrics& metrics, const std::vector<std::vector<int64_t>>& expert_load);
    /// A line with the time in log.txt.
    void note(std::string_view text);
    /// Replaces the pictures: losses of the whole run, expert loads since the last drawing.
    void draw(bool log_axis);

    const std::vector<Metrics>& history() const {
        return history_;
    }

  private:
    void truncate(int64_t step);
    void draw_expert_load();

    std::filesystem::path run_;
    std::vector<Metrics> history_;
    std::ofstream metrics_;
    std::unique_ptr<TensorboardWriter> tensorboard_;
    std::vector<std::vector<int64_t>> expert_load_;  // sums since the last drawing
};

/// The text of loss.svg.
std::string loss_chart_svg(const std::vector<Metrics>& history, bool log_axis);

}  // namespace hadal::train
