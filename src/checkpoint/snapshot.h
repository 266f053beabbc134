// Reads snapshots of a training run: RUN/snapshots/step-NNNNNN/ with every tensor that the next
// step depends on, in shards (tensors-00001-of-NNNNN.safetensors), the rest of the run's state
// (state.json), and a manifest with the digest of every tensor (snapshot_manifest.h). What the
// names and the state mean is src/train's business; snapshot_writer.h writes them.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors.h"
#include "core/tensor.h"

namespace hadal::checkpoint {

/// "step-000120"
std::string snapshot_name(int64_t step);
/// The steps of the snapshots in this directory, newest first, whole or not. A directory that does
/// not exist holds none.
std::vector<int64_t> snapshot_steps(const std::filesystem::path& snapshots);

class Snapshot {
  public:
    /// Reads all of it and compares with the manifest. Error(corrupt_file) names the file, and the
    /// tensor in it, that is missing, cut short or changed.
    static Snapshot open(const std::filesystem::path& directory);

    int64_t step() const {
        return step_;
    }
    const std::string& state() const {
        return state_;
    }
    /// Error(corrupt_file) names what is missing. A read-only view; stays valid when the snapshot
    /// is deleted.
    Tensor load(std::string_view name) const;
    bool contains(std::string_view name) const {
        return shard_of_.find(name) != shard_of_.end();
    }
    int64_t num_tensors() const {
        return int64_t(shard_of_.size());
    }
    int64_t num_shards() const {
        return int64_t(shards_.size());
    }
    /// Of all shards.
    int64_t bytes() const;
    const std::filesystem::path& directory() const {
        return directory_;
    }

  private:
    Snapshot() = default;

    std::filesystem::path directory_;
    int64_t step_ = 0;
    std::string state_;
    std::vector<Safetensors> shards_;
    std::map<std::string, size_t, std::less<>> shard_of_;  // of each tensor
};

struct LatestSnapshot {
    std::optional<Snapshot> snapshot;  // the newest that is whole
    std::vector<std::string> skipped;  // why each newer one was not taken: warnings for the user
};

/// Looks from the newest step down. A directory that does not exist holds no snapshot.
LatestSnapshot open_latest_snapshot(const std::filesystem::path& snapshots);

}  // namespace hadal::checkpoint
