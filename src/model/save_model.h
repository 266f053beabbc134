// Writing a model directory in Hugging Face layout.
#pragma once

#include <filesystem>
#include <map>
#include <string>

#include "model/parameters.h"

namespace hadal::model {

struct SaveOptions {
    bool force = false;  // replace an existing model directory
    /// Further files by name: tokenizer.json, generation_config.json, …
    std::map<std::string, std::string> files = {};
};

/// Writes config.json (dtype that of the weights, no quantisation), the weights in one or more
/// safetensors files, and `options.files`; the directory appears whole or not at all. Errors as
/// checkpoint::HuggingFaceWriter.
void save_model(const std::filesystem::path& directory, const ModelConfig& config, Weights& weights,
                const SaveOptions& options = {});

/// save_model of init_weights' model, the same bytes, one tensor after another: a model larger than
/// the memory can be made.
void save_fresh_model(Context& context, const std::filesystem::path& directory,
                      const ModelConfig& config, DType dtype, uint64_t seed,
                      const SaveOptions& options = {});

}  // namespace hadal::model
