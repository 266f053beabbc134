// Writing a model directory in Hugging Face layout.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <string>

#include "core/progress.h"
#include "model/parameters.h"

namespace hadal::model {

struct SaveOptions {
    bool force = false;  // replace an existing model directory
    /// Further files by name: tokenizer.json, generation_config.json, …
    std::map<std::string, std::string> files = {};
    ProgressCallback progress = {};  // of save_filled_model, in tensors
};

/// Writes config.json (dtype that of the weights; block-FP8 if they have such codes), the weights
/// in one or more safetensors files, and `options.files`; the directory appears whole or not at
/// all. Errors as checkpoint::HuggingFaceWriter.
void save_model(const std::filesystem::path& directory, const ModelConfig& config, Weights& weights,
                const SaveOptions& options = {});

/// Sets `values` to those of a parameter.
using FillParameter =
    std::function<void(const Parameter& parameter, Tensor& values)>;  // [parameter.shape] bf16|f32

/// A model whose parameters are asked for one after another, so that it may be larger than the
/// memory. Those that a checkpoint repeats are asked for again.
void save_filled_model(const std::filesystem::path& directory, const ModelConfig& config,
                       DType dtype, const FillParameter& fill, const SaveOptions& options = {});

/// save_model of init_weights' model, the same bytes, one tensor after another.
void save_fresh_model(Context& context, const std::filesystem::path& directory,
                      const ModelConfig& config, DType dtype, uint64_t seed,
                      const SaveOptions& options = {});

}  // namespace hadal::model
