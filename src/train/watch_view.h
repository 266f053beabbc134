// What `hadal train --watch RUN` shows, as text: a pure function of the run's files, so that it can
// be tested without a terminal.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "train/metrics.h"
#include "train/run_log.h"

namespace hadal::train {

struct WatchedRun {
    std::string name;
    std::vector<Metrics> history;
    std::optional<ExpertLoad> expert_load;
    int64_t total_tokens = 0;  // of the recipe; 0: unknown
    bool finished = false;
    double seconds_without_step = 0;  // seen by the watcher
};

struct WatchScreen {
    int columns = 100;
    int rows = 30;
    bool color = false;
};

/// At most `rows` lines of at most `columns` characters.
std::string watch_text(const WatchedRun& run, const WatchScreen& screen);

}  // namespace hadal::train
