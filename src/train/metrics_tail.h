// Follows a run's metrics.jsonl while another process writes it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "train/metrics.h"

namespace hadal::train {

class MetricsTail {
  public:
    explicit MetricsTail(std::filesystem::path metrics) : path_(std::move(metrics)) {}

    /// Takes in what is new; true if there was anything. A file that was replaced by another or
    /// cut, as a resume does, is read anew. A line still being written waits for its end; a file
    /// that is not there holds nothing.
    bool poll();

    /// Step 0 is the untrained model's validation.
    const std::vector<Metrics>& history() const {
        return history_;
    }

  private:
    std::filesystem::path path_;
    std::vector<Metrics> history_;
    std::string rest_;      // after the last whole line
    uint64_t inode_ = 0;    // which file was read …
    int64_t position_ = 0;  // … and up to where
};

}  // namespace hadal::train
