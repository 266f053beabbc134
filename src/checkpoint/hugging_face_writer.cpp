#include "checkpoint/hugging_face_writer.h"

#include <cstdio>

#include "checkpoint/printable.h"
#include "core/file_map.h"

namespace hadal::checkpoint {

namespace {

/// `directory` if a model may be written there.
std::filesystem::path checked_target(const std::filesystem::path& directory, bool force) {
    std::error_code ignored;
    if (!std::filesystem::exists(std::filesystem::symlink_status(directory, ignored))) {
        return directory;
    }
    if (!force) {
        throw Error(Error::Kind::bad_input, concat("already exists: ", directory.string(),
                                                   " (choose another name or use --force)"));
    }
    if (!std::filesystem::exists(directory / "config.json", ignored) &&
        !std::filesystem::is_empty(directory, ignored)) {
        throw Error(Error::Kind::bad_input,
                    concat("is not a model directory, so it is not replaced: ", directory.string(),
                           " (choose another name)"));
    }
    return directory;
}

/// Consecutive tensors up to the limit make a file; one tensor beyond the limit is a file of its
/// own.
std::vector<std::span<const TensorSpec>> deal(std::span<const TensorSpec> tensors,
                                              int64_t max_bytes) {
    std::vector<std::span<const TensorSpec>> shards;
    size_t begin = 0;
    int64_t bytes = 0;
    for (size_t i = 0; i < tensors.size(); ++i) {
        if (i > begin && bytes + tensors[i].bytes() > max_bytes) {
            shards.push_back(tensors.subspan(begin, i - begin));
            begin = i;
            bytes = 0;
        }
        bytes += tensors[i].bytes();
    }
    shards.push_back(tensors.subspan(begin));
    return shards;
}

std::string shard_name(size_t index, size_t count) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05zu-of-%05zu.safetensors", index + 1, count);
    return name;
}

}  // namespace

HuggingFaceWriter::HuggingFaceWriter(const std::filesystem::path& directory,
                                     std::span<const TensorSpec> tensors,
                                     const HuggingFaceOptions& options)
    : force_(options.force), directory_(checked_target(directory, options.force)) {
    const auto shards = deal(tensors, options.max_shard_bytes);
    WeightMap weight_map;
    int64_t total_bytes = 0;
    for (size_t i = 0; i < shards.size(); ++i) {
        const std::string file_name =
            shards.size() == 1 ? std::string(kSingleFile) : shard_name(i, shards.size());
        shards_.push_back(
            std::make_unique<SafetensorsWriter>(directory_.path() / file_name, shards[i]));
        for (const TensorSpec& tensor : shards[i]) {
            if (!shard_of_.try_emplace(tensor.name, shards_.back().get()).second) {
                throw Error(Error::Kind::internal,
                            concat("tensor ", printable(tensor.name),
                                   " is declared twice: ", directory.string()));
            }
            weight_map[tensor.name] = file_name;
            total_bytes += tensor.bytes();
        }
    }
    if (shards.size() > 1) add_file(kIndexFile, shard_index_text(weight_map, total_bytes));
}

void HuggingFaceWriter::add(std::string_view name, const Tensor& tensor) {
    const auto shard = shard_of_.find(name);
    if (shard == shard_of_.end()) {
        throw Error(
            Error::Kind::internal,
            concat("tensor ", printable(name), " is not declared: ", directory_.target().string()));
    }
    shard->second->add(name, tensor);
}

void HuggingFaceWriter::add_file(std::string_view file_name, std::string_view content) {
    write_file_atomically(directory_.path() / file_name, content);
}

void HuggingFaceWriter::finish() {
    if (!std::filesystem::exists(directory_.path() / "config.json")) {
        throw Error(Error::Kind::internal,
                    concat("config.json was never added: ", directory_.target().string()));
    }
    for (const auto& shard : shards_) shard->finish();
    directory_.publish(force_);
}

}  // namespace hadal::checkpoint
