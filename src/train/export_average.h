// The averaged parameters of a run as a model, at any time: out of its newest snapshot, while the
// run goes on or after it was stopped. `hadal train --export-ema`.
#pragma once

#include <filesystem>
#include <functional>
#include <string>

#include "core/context.h"

namespace hadal::train {

struct AverageExport {
    std::filesystem::path directory;  // where to; empty: RUN/model-ema
    std::function<void(const std::string&)> warn = [](const std::string&) {};
};

struct ExportedAverage {
    int64_t step = 0;
    std::string snapshot;  // its directory
    std::string model;     // what was written
};

/// Reads nothing but the snapshot and the tokenizer's files: neither data nor optimizer. Replaces a
/// model directory of that name. Error(bad_input) if there is no whole snapshot, or none with
/// averages.
ExportedAverage export_average(Context& context, const std::filesystem::path& run,
                               const AverageExport& options);

}  // namespace hadal::train
