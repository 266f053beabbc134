#include "cli/inspect_snapshots.h"

#include <string>
#include <vector>

#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_manifest.h"
#include "core/error.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;

bool is_snapshot(const fs::path& path) {
    return fs::exists(path / checkpoint::kStateFile) &&
           fs::exists(path / checkpoint::kManifestFile);
}

Record row_of(const fs::path& snapshot, bool check) {
    const checkpoint::SnapshotManifest manifest = checkpoint::read_manifest(snapshot);
    if (check) checkpoint::Snapshot::open(snapshot);
    size_t tensors = 0;
    for (const auto& shard : manifest.shards) tensors += shard.tensors.size();
    Record row;
    row.add("step", manifest.step).add("bytes", manifest.bytes()).add("tensors", tensors);
    row.add("shards", manifest.shards.size());
    if (check) row.add("whole", true);
    return row;
}

}  // namespace

bool holds_snapshots(const fs::path& path) {
    std::error_code ignored;
    return is_snapshot(path) || fs::is_directory(path / "snapshots", ignored);
}

void inspect_snapshots(const fs::path& path, bool check, Report& report) {
    std::vector<fs::path> snapshots;
    if (is_snapshot(path)) {
        snapshots.push_back(path);
    } else {
        for (const int64_t step : checkpoint::snapshot_steps(path / "snapshots")) {
            snapshots.push_back(path / "snapshots" / checkpoint::snapshot_name(step));
        }
    }
    std::string faults;
    size_t damaged = 0;
    for (const fs::path& snapshot : snapshots) {
        try {
            report.add_row("snapshots", row_of(snapshot, check));
        } catch (const Error& error) {
            ++damaged;
            faults += concat(faults.empty() ? "" : "; ", error.what());
        }
    }
    if (damaged > 0) {
        throw Error(
            Error::Kind::corrupt_file,
            concat(damaged, " of ", snapshots.size(), " snapshots damaged: ", faults,
                   damaged < snapshots.size() ? " (--resume takes the newest whole one)"
                                              : " (restore a copy, or start the run anew)"));
    }
    report.add("count", snapshots.size());
}

}  // namespace hadal::cli
