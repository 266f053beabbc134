#include "checkpoint/snapshot.h"

#include <algorithm>
#include <charconv>
#include <cstdio>

#include "checkpoint/digest.h"
#include "checkpoint/printable.h"
#include "checkpoint/snapshot_manifest.h"
#include "core/error.h"
#include "core/file_map.h"

namespace hadal::checkpoint {

namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPrefix = "step-";

[[noreturn]] void corrupt(const fs::path& where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where.string()));
}

/// The step that a directory of this name holds; none for any other name.
std::optional<int64_t> step_of(std::string_view name) {
    if (!name.starts_with(kPrefix)) return std::nullopt;
    name.remove_prefix(kPrefix.size());
    int64_t step = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), step);
    if (error != std::errc() || end != name.data() + name.size() || step < 0) return std::nullopt;
    return step;
}

std::string read_state(const fs::path& path, uint64_t expected) {
    std::error_code ignored;
    if (!fs::exists(path, ignored)) corrupt(path, "file of a snapshot is missing");
    std::string state = read_file(path);
    if (digest(std::as_bytes(std::span(state))) != expected) {
        corrupt(path, "file of a snapshot is damaged, its digest is not the manifest's");
    }
    return state;
}

/// The header with its length, which digests of tensors do not cover.
std::span<const std::byte> header_of(std::span<const std::byte> file) {
    uint64_t length = 0;
    if (file.size() < 8) return file;
    for (size_t i = 0; i < 8; ++i) length |= uint64_t(file[i]) << (8 * i);
    return file.first(length > file.size() - 8 ? file.size() : size_t(length) + 8);
}

Safetensors open_shard(const fs::path& path, const SnapshotManifest::Shard& expected) {
    std::error_code error;
    const auto bytes = fs::file_size(path, error);
    if (error) corrupt(path, "shard of a snapshot is missing");
    if (bytes != expected.bytes) {
        corrupt(path, concat("shard of a snapshot has ", bytes, " bytes, its manifest says ",
                             expected.bytes));
    }
    if (digest(header_of(FileMap::open(path)->bytes())) != expected.header_digest) {
        corrupt(path, "header of a snapshot's shard is damaged, its digest is not the manifest's");
    }
    Safetensors shard = Safetensors::open(path);
    for (const auto& [name, value] : expected.tensors) {
        const TensorInfo* info = shard.find(name);
        if (info == nullptr) corrupt(path, concat("snapshot lacks tensor ", printable(name)));
        const Tensor tensor = shard.load(*info);
        if (digest({tensor.data(), size_t(tensor.bytes())}) != value) {
            corrupt(path, concat("tensor ", printable(name),
                                 " of a snapshot is damaged, its digest is not the manifest's"));
        }
    }
    if (shard.tensors().size() != expected.tensors.size()) {
        corrupt(path, "shard of a snapshot has tensors that its manifest does not name");
    }
    return shard;
}

}  // namespace

std::string snapshot_name(int64_t step) {
    char name[32];
    std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
    return name;
}

std::vector<int64_t> snapshot_steps(const fs::path& snapshots) {
    std::vector<int64_t> steps;
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(snapshots, absent)) {
        const auto step = step_of(entry.path().filename().string());
        if (step && entry.path().filename() == snapshot_name(*step)) steps.push_back(*step);
    }
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

Snapshot Snapshot::open(const fs::path& directory) {
    const SnapshotManifest manifest = read_manifest(directory);
    const fs::path name = directory.has_filename() ? directory : directory.parent_path();
    if (snapshot_name(manifest.step) != name.filename()) {
        corrupt(directory,
                concat("snapshot is of step ", manifest.step, ", which is not its name's"));
    }
    Snapshot snapshot;
    snapshot.directory_ = directory;
    snapshot.step_ = manifest.step;
    snapshot.state_ = read_state(directory / kStateFile, manifest.state_digest);
    for (const SnapshotManifest::Shard& shard : manifest.shards) {
        for (const auto& tensor : shard.tensors) {
            if (!snapshot.shard_of_.emplace(tensor.name, snapshot.shards_.size()).second) {
                corrupt(directory,
                        concat("snapshot has tensor ", printable(tensor.name), " twice"));
            }
        }
        snapshot.shards_.push_back(open_shard(directory / shard.file, shard));
    }
    return snapshot;
}

Tensor Snapshot::load(std::string_view name) const {
    const auto shard = shard_of_.find(name);
    if (shard == shard_of_.end()) {
        corrupt(directory_, concat("snapshot lacks tensor ", printable(name)));
    }
    return shards_[shard->second].load(name);
}

int64_t Snapshot::bytes() const {
    int64_t sum = 0;
    for (const Safetensors& shard : shards_) sum += shard.file_bytes();
    return sum;
}

LatestSnapshot open_latest_snapshot(const fs::path& snapshots) {
    LatestSnapshot latest;
    for (const int64_t step : snapshot_steps(snapshots)) {
        try {
            latest.snapshot = Snapshot::open(snapshots / snapshot_name(step));
            return latest;
        } catch (const Error& error) {
            latest.skipped.push_back(error.what());
        }
    }
    return latest;
}

}  // namespace hadal::checkpoint
