#include "checkpoint/snapshot.h"

#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <utility>

#include "checkpoint/digest.h"
#include "checkpoint/safetensors_writer.h"
#include "checkpoint/staged_directory.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"

namespace hadal::checkpoint {

namespace {

constexpr const char* kManifest = "manifest.json";
constexpr const char* kTensors = "tensors.safetensors";
constexpr const char* kState = "state.json";
constexpr std::string_view kPrefix = "step-";

[[noreturn]] void corrupt(const std::filesystem::path& where, const std::string& what) {
    throw Error(Error::Kind::corrupt_file, concat(what, ": ", where.string()));
}

std::string directory_name(int64_t step) {
    char name[32];
    std::snprintf(name, sizeof name, "step-%06lld", static_cast<long long>(step));
    return name;
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

/// Newest first.
std::vector<int64_t> steps_in(const std::filesystem::path& snapshots) {
    std::vector<int64_t> steps;
    std::error_code absent;
    for (const auto& entry : std::filesystem::directory_iterator(snapshots, absent)) {
        const auto step = step_of(entry.path().filename().string());
        if (step && entry.path().filename() == directory_name(*step)) {
            steps.push_back(*step);
        }
    }
    std::sort(steps.rbegin(), steps.rend());
    return steps;
}

std::string digest_text(const std::filesystem::path& path) {
    char text[32];
    std::snprintf(text, sizeof text, "%016llx",
                  static_cast<unsigned long long>(digest(FileMap::open(path)->bytes())));
    return text;
}

std::string manifest_text(const std::filesystem::path& directory, int64_t step) {
    nlohmann::json manifest{{"step", step}};
    for (const char* name : {kTensors, kState}) {
        manifest["files"][name] = {{"bytes", std::filesystem::file_size(directory / name)},
                                   {"xxh64", digest_text(directory / name)}};
    }
    return manifest.dump(2) + "\n";
}

void check_file(const std::filesystem::path& path, const nlohmann::json& entry) {
    std::error_code error;
    const auto bytes = std::filesystem::file_size(path, error);
    if (error) corrupt(path, "file of a snapshot is missing");
    if (bytes != entry.at("bytes").get<uint64_t>()) {
        corrupt(path, concat("file of a snapshot has ", bytes, " bytes, its manifest says ",
                             entry.at("bytes").get<uint64_t>()));
    }
    if (digest_text(path) != entry.at("xxh64").get<std::string>()) {
        corrupt(path, "file of a snapshot is damaged, its digest is not the manifest's");
    }
}

/// The step, if all files are as the manifest says.
int64_t verified_step(const std::filesystem::path& directory) {
    const auto path = directory / kManifest;
    std::error_code ignored;
    if (!std::filesystem::exists(path, ignored)) corrupt(directory, "snapshot has no manifest");
    const nlohmann::json manifest = parse_json(read_file(path), path.string());
    try {
        for (const char* name : {kTensors, kState}) {
            check_file(directory / name, manifest.at("files").at(name));
        }
        return manifest.at("step").get<int64_t>();
    } catch (const nlohmann::json::exception&) {
        corrupt(path, "manifest of a snapshot lacks an entry or has one of a wrong type");
    }
}

/// What killed processes left: snapshots half written or half deleted.
void remove_leftovers(const std::filesystem::path& snapshots) {
    std::vector<std::filesystem::path> leftovers;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator(snapshots, ignored)) {
        const std::string name = entry.path().filename().string();
        if (name.starts_with(kPrefix) && name.find(".tmp-") != std::string::npos) {
            leftovers.push_back(entry.path());
        }
    }
    for (const auto& path : leftovers) std::filesystem::remove_all(path, ignored);
}

void remove_old(const std::filesystem::path& snapshots, int64_t step, int keep) {
    int kept = 0;
    for (const int64_t candidate : steps_in(snapshots)) {
        if (candidate > step || ++kept <= keep) continue;
        // Renamed first: a process killed inside remove_all leaves a leftover, not a snapshot that
        // is torn.
        const auto path = snapshots / directory_name(candidate);
        const std::filesystem::path aside = path.string() + concat(".tmp-", ::getpid());
        std::error_code error;
        std::filesystem::rename(path, aside, error);
        if (!error) std::filesystem::remove_all(aside, error);
    }
}

}  // namespace

SnapshotWriter::SnapshotWriter(std::filesystem::path snapshots, int64_t step)
    : snapshots_(std::move(snapshots)), step_(step) {
    HADAL_ASSERT(step >= 0);
}

void SnapshotWriter::add(std::string_view name, const Tensor& tensor) {
    tensors_.emplace_back(name, tensor);
}

void SnapshotWriter::finish(std::string_view state, int keep) {
    HADAL_ASSERT(keep >= 1);
    remove_leftovers(snapshots_);  // first: the disk may have no room for them and this
    {
        StagedDirectory directory(snapshots_ / directory_name(step_));
        std::vector<TensorSpec> specs;
        specs.reserve(tensors_.size());
        for (const auto& [name, tensor] : tensors_) {
            specs.push_back({name, tensor.dtype(), tensor.shape()});
        }
        SafetensorsWriter writer(directory.path() / kTensors, specs);
        for (const auto& [name, tensor] : tensors_) writer.add(name, tensor);
        writer.finish();
        write_file_atomically(directory.path() / kState, state);
        write_file_atomically(directory.path() / kManifest, manifest_text(directory.path(), step_));
        directory.publish(/*replace=*/true);
    }
    remove_old(snapshots_, step_, keep);
}

Snapshot Snapshot::open(const std::filesystem::path& directory) {
    const int64_t step = verified_step(directory);
    if (directory_name(step) != directory.filename()) {
        corrupt(directory, concat("snapshot is of step ", step, ", which is not its name's"));
    }
    return {directory, step, read_file(directory / kState),
            Safetensors::open(directory / kTensors)};
}

LatestSnapshot open_latest_snapshot(const std::filesystem::path& snapshots) {
    LatestSnapshot latest;
    for (const int64_t step : steps_in(snapshots)) {
        try {
            latest.snapshot = Snapshot::open(snapshots / directory_name(step));
            return latest;
        } catch (const Error& error) {
            latest.skipped.push_back(error.what());
        }
    }
    return latest;
}

}  // namespace hadal::checkpoint
