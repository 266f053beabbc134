// Snapshots of a training run: RUN/snapshots/step-NNNNNN/ with every tensor that the next step
// depends on (tensors.safetensors), the rest of the run's state (state.json), and a manifest with
// the size and digest of both, written last. What the names and the state mean is src/train's
// business.
//
// A directory gets its name only when all of it is on the disk, so that a process killed at any
// moment leaves the snapshots of before; the manifest tells apart what a failing disk damaged
// later.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/tensor.h"

namespace hadal::checkpoint {

class SnapshotWriter {
  public:
    /// `snapshots` is RUN/snapshots; it is made if it lacks. One process writes there at a time.
    SnapshotWriter(std::filesystem::path snapshots, int64_t step);

    /// Keeps a handle, no copy: the memory must not change before finish(). Error(internal) for a
    /// name given twice.
    void add(std::string_view name, const Tensor& tensor);

    /// Removes what killed processes left, writes the snapshot, which replaces one of the same
    /// step, and only then deletes the oldest of those up to this step, so that `keep` ≥ 1 remain.
    /// Error(io) if the disk refuses: nothing of this snapshot remains and the ones of before are
    /// untouched.
    void finish(std::string_view state, int keep = 3);

  private:
    std::filesystem::path snapshots_;
    int64_t step_;
    std::vector<std::pair<std::string, Tensor>> tensors_;
};

class Snapshot {
  public:
    /// Reads all of it and compares with the manifest. Error(corrupt_file) names what is wrong.
    static Snapshot open(const std::filesystem::path& directory);

    int64_t step() const {
        return step_;
    }
    const std::string& state() const {
        return state_;
    }
    const Safetensors& tensors() const {
        return tensors_;
    }
    /// A read-only view; stays valid when the snapshot is deleted.
    Tensor load(std::string_view name) const {
        return tensors_.load(name);
    }
    const std::filesystem::path& directory() const {
        return directory_;
    }

  private:
    Snapshot(std::filesystem::path directory, int64_t step, std::string state, Safetensors tensors)
        : directory_(std::move(directory)),
          step_(step),
          state_(std::move(state)),
          tensors_(std::move(tensors)) {}

    std::filesystem::path directory_;
    int64_t step_;
    std::string state_;
    Safetensors tensors_;
};

struct LatestSnapshot {
    std::optional<Snapshot> snapshot;  // the newest that is whole
    std::vector<std::string> skipped;  // why each newer one was not taken: warnings for the user
};

/// Looks from the newest step down. A directory that does not exist holds no snapshot.
LatestSnapshot open_latest_snapshot(const std::filesystem::path& snapshots);

}  // namespace hadal::checkpoint
