#include "checkpoint/snapshot_writer.h"

#include <sys/statvfs.h>
#include <unistd.h>

#include "checkpoint/digest.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/snapshot.h"
#include "checkpoint/snapshot_manifest.h"
#include "checkpoint/staged_directory.h"
#include "core/error.h"
#include "core/file_map.h"

namespace hadal::checkpoint {

namespace {

namespace fs = std::filesystem;
using NamedTensor = std::pair<std::string, Tensor>;

/// What killed processes left: snapshots half written or half deleted.
void remove_leftovers(const fs::path& snapshots) {
    std::vector<fs::path> leftovers;
    std::error_code ignored;
    for (const auto& entry : fs::directory_iterator(snapshots, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with("step-") && name.find(".tmp-") != std::string::npos) {
            leftovers.push_back(entry.path());
        }
    }
    for (const auto& path : leftovers) fs::remove_all(path, ignored);
}

/// A snapshot that will not fit is refused before it fills the disk for everybody else.
void require_room(const fs::path& snapshots, int64_t bytes) {
    struct statvfs disk{};
    if (::statvfs(snapshots.c_str(), &disk) != 0 || disk.f_blocks == 0) return;  // knows no size
    const double free_bytes = double(disk.f_bavail) * double(disk.f_frsize);
    const double needed = 1.1 * double(bytes);
    if (free_bytes >= needed) return;
    constexpr double kMebibyte = 1 << 20;
    throw Error(Error::Kind::io,
                concat("a snapshot needs ", int64_t(needed / kMebibyte) + 1, " MiB, the disk has ",
                       int64_t(free_bytes / kMebibyte), " MiB of free space: ", snapshots.string(),
                       " (free some space, or keep fewer snapshots)"));
}

/// Consecutive tensors, as many as fit.
std::vector<std::span<const NamedTensor>> cut(std::span<const NamedTensor> tensors,
                                              int64_t shard_bytes) {
    std::vector<std::span<const NamedTensor>> shards;
    size_t begin = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
        const int64_t more = tensors[i].second.bytes();
        if (i > begin && bytes + more > shard_bytes) {
            shards.push_back(tensors.subspan(begin, i - begin));
            begin = i;
            bytes = 0;
        }
        bytes += more;
    }
    shards.push_back(tensors.subspan(begin));
    return shards;
}

/// Digests are of the memory that was meant, not of what a disk made of it.
SnapshotManifest::Shard write_shard(const fs::path& path, std::span<const NamedTensor> tensors,
                                    const std::function<void()>& rest) {
    std::vector<TensorSpec> specs;
    specs.reserve(tensors.size());
    for (const auto& [name, tensor] : tensors) {
        specs.push_back({name, tensor.dtype(), tensor.shape()});
    }
    SafetensorsWriter writer(path, specs);
    SnapshotManifest::Shard shard{
        .file = path.filename().string(),
        .bytes = uint64_t(writer.file_bytes()),
        .header_digest = digest(std::as_bytes(std::span(writer.header()))),
        .tensors = {}};
    for (const auto& [name, tensor] : tensors) {
        HADAL_ASSERT(tensor.contiguous());
        shard.tensors.push_back({name, digest({tensor.data(), size_t(tensor.bytes())})});
        writer.add(name, tensor);
        rest();
    }
    writer.finish();
    return shard;
}

void remove_old(const fs::path& snapshots, int64_t step, const SnapshotPolicy& policy) {
    int64_t kept = 0;
    for (const int64_t candidate : snapshot_steps(snapshots)) {
        if (candidate > step || ++kept <= policy.keep) continue;
        if (policy.keep_every > 0 && candidate % policy.keep_every == 0) continue;
        // Renamed first: a process killed inside remove_all leaves a leftover, not a snapshot that
        // is torn.
        const auto path = snapshots / snapshot_name(candidate);
        const fs::path aside = path.string() + concat(".tmp-", ::getpid());
        std::error_code error;
        fs::rename(path, aside, error);
        if (error) continue;
        sync_directory(snapshots);  // without power, the name must not come back to a torn one
        fs::remove_all(aside, error);
    }
}

}  // namespace

int64_t SnapshotContent::tensor_bytes() const {
    int64_t sum = 0;
    for (const auto& [name, tensor] : tensors) sum += tensor.bytes();
    return sum;
}

int64_t write_snapshot(const fs::path& snapshots, const SnapshotContent& content,
                       const SnapshotPolicy& policy, const std::function<void()>& rest) {
    HADAL_ASSERT(content.step >= 0 && policy.keep >= 1);
    remove_leftovers(snapshots);  // first: the disk may have no room for them and this
    create_directories_durably(snapshots);
    require_room(snapshots, content.tensor_bytes() + int64_t(content.state.size()));
    SnapshotManifest manifest{.step = content.step, .shards = {}, .state_digest = 0};
    {
        StagedDirectory directory(snapshots / snapshot_name(content.step));
        const auto shards = cut(content.tensors, policy.shard_bytes);
        for (size_t i = 0; i < shards.size(); ++i) {
            manifest.shards.push_back(
                write_shard(directory.path() / shard_name(i, shards.size()), shards[i], rest));
        }
        manifest.state_digest = digest(std::as_bytes(std::span(content.state)));
        write_file_atomically(directory.path() / kStateFile, content.state);
        write_file_atomically(directory.path() / kManifestFile, manifest_text(manifest));
        directory.publish(/*replace=*/true);
    }
    remove_old(snapshots, content.step, policy);
    return int64_t(manifest.bytes());
}

}  // namespace hadal::checkpoint
