// The pre-training loop and the files of a run: RUN/recipe.toml, metrics.jsonl, events, pictures,
// snapshots/, model/.
#pragma once

#include <functional>
#include <string>

#include "core/context.h"
#include "train/metrics.h"
#include "train/recipe.h"

namespace hadal::train {

struct PretrainOptions {
    bool resume =
        false;  // continue from the newest whole snapshot; from the beginning if there is none
    std::vector<std::string> allow_change = {};  // keys that a resume may find changed
    bool force = false;                          // without resume: delete a run that is there
    std::function<bool()> stop_requested = [] { return false; };  // asked after every step
    std::function<void(const Metrics&)> on_step = [](const Metrics&) {};
    std::function<void(const std::string&)> warn = [](const std::string&) {};
};

struct PretrainSummary {
    bool finished = false;  // or stopped: a snapshot was written, the model was not
    int64_t resumed_from = 0;
    int64_t failed_snapshots = 0;
    Metrics first;  // first and last steps of the whole run that had a validation, else of all
    Metrics last;
    std::string model;      // directory, if finished
    std::string ema_model;  // the same of the averaged parameters
};

/// Trains to the end of the recipe or until asked to stop. Error(bad_input) if run.out holds a run
/// and neither `resume` nor `force` is set, or the snapshot is of another configuration.
PretrainSummary pretrain(Context& context, const Recipe& recipe, const PretrainOptions& options);

}  // namespace hadal::train
