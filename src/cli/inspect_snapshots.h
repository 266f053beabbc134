// The part of `hadal inspect` that looks at snapshots of a training run.
#pragma once

#include <filesystem>

#include "cli/report.h"

namespace hadal::cli {

/// Whether this is a run's directory or one of its snapshots, not a model.
bool holds_snapshots(const std::filesystem::path& path);

/// A row for each snapshot. With `check` every byte is read and compared with the manifest, and
/// Error(corrupt_file) names all that is damaged.
void inspect_snapshots(const std::filesystem::path& path, bool check, Report& report);

}  // namespace hadal::cli
