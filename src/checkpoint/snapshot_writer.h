// Writes snapshots. A directory gets its name only when all of it is on the disk, so that a process
// killed, or a machine without power, at any moment leaves the snapshots of before.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "core/tensor.h"

namespace hadal::checkpoint {

/// What one snapshot holds. Tensors are handles, not copies.
struct SnapshotContent {
    int64_t step = 0;
    std::vector<std::pair<std::string, Tensor>> tensors;  // contiguous
    std::string state;                                    // state.json

    int64_t tensor_bytes() const;
};

struct SnapshotPolicy {
    int64_t keep = 3;                        // the newest so many stay
    int64_t keep_every = 0;                  // steps that this divides stay for ever; 0: none
    int64_t shard_bytes = int64_t(4) << 30;  // of tensors in one file, unless one alone is larger
};

/// Removes what killed processes left, writes the snapshot, which replaces one of the same step,
/// and only then deletes those up to this step that the policy does not keep. One process writes
/// there at a time. Returns the bytes of the shards. Error(io) if the disk refuses, or has less
/// room than 1.1 times what will be written: nothing of this snapshot remains and the ones of
/// before are untouched. Error(internal) for a name given twice. `rest` is called after every
/// tensor.
int64_t write_snapshot(
    const std::filesystem::path& snapshots, const SnapshotContent& content,
    const SnapshotPolicy& policy, const std::function<void()>& rest = [] {});

}  // namespace hadal::checkpoint
