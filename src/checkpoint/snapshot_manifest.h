// manifest.json of a snapshot: what the directory must hold, byte for byte. Written last; whatever
// a failing disk changes afterwards contradicts it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

namespace hadal::checkpoint {

struct SnapshotManifest {
    struct Tensor {
        std::string name;
        uint64_t digest = 0;  // of its bytes
    };
    struct Shard {
        std::string file;
        uint64_t bytes = 0;
        uint64_t header_digest = 0;  // of the safetensors header with its length
        std::vector<Tensor> tensors;
    };

    int64_t step = 0;
    std::vector<Shard> shards;
    uint64_t state_digest = 0;  // of state.json

    /// Of all shards.
    uint64_t bytes() const;
};

inline constexpr const char* kManifestFile = "manifest.json";
inline constexpr const char* kStateFile = "state.json";

/// "tensors-00002-of-00003.safetensors": shard 1 of 3.
std::string shard_name(size_t index, size_t count);

std::string manifest_text(const SnapshotManifest& manifest);
/// Error(corrupt_file) says what is missing or of a wrong type; shards lie beside the manifest.
SnapshotManifest read_manifest(const std::filesystem::path& snapshot);

}  // namespace hadal::checkpoint
