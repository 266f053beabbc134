// Writes a model directory in Hugging Face layout that appears whole or not at all.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "checkpoint/safetensors_writer.h"
#include "checkpoint/shard_index.h"
#include "checkpoint/staged_directory.h"

namespace hadal::checkpoint {

struct HuggingFaceOptions {
    int64_t max_shard_bytes = 5'000'000'000;
    /// Replace a model directory of that name, in one step at the end.
    bool force = false;
};

class HuggingFaceWriter {
  public:
    /// Plans the files for exactly these tensors, dealt in the order given: one model.safetensors
    /// if they fit into max_shard_bytes, else model-00001-of-000NN.safetensors … and an index.
    /// Error(bad_input) if the directory exists without `force`, or exists and is no model
    /// directory: that is never deleted.
    HuggingFaceWriter(const std::filesystem::path& directory, std::span<const TensorSpec> tensors,
                      const HuggingFaceOptions& options = {});

    /// One of the planned tensors, in any order. Error(internal) if it differs from the plan,
    /// Error(io) if the disk refuses: then, as whenever finish() was not reached, nothing remains.
    void add(std::string_view name, const Tensor& tensor);
    /// Another file: config.json (needed), tokenizer.json, …
    void add_file(std::string_view file_name, std::string_view content);
    /// Makes everything durable and gives the directory its name.
    void finish();

  private:
    bool force_;
    StagedDirectory directory_;
    std::map<std::string, SafetensorsWriter*, std::less<>> shard_of_;
    std::vector<std::unique_ptr<SafetensorsWriter>> shards_;
};

}  // namespace hadal::checkpoint
