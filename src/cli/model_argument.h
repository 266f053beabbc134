// A model's configuration as several verbs accept it: a preset, a config.json, or a model
// directory.
#pragma once

#include <optional>

#include "cli/arguments.h"
#include "cli/command.h"
#include "model/transformer.h"

namespace hadal::cli {

/// From --preset NAME, or else the file or model directory given as `file_option`. Error(usage)
/// unless exactly one is given.
model::ModelConfig config_argument(const Arguments& arguments, std::string_view file_option);

/// A model directory or GGUF file in the type of --dtype (bf16 without, or f32 where a directory
/// holds f32). `positions` as model::load_model. `coded`: as --activations says, unless it is
/// given. Warns on standard error of tensors that the configuration does not know.
model::Model open_model(const std::filesystem::path& directory, const Globals& globals,
                        int64_t positions = 0, std::optional<model::CodedWeights> coded = {});
/// A block-FP8 checkpoint whose linear layers multiply in FP8, if --fp8 is given; else as
/// model_argument.
model::Model scored_model_argument(const Arguments& arguments, int64_t positions = 0,
                                   std::optional<model::CodedWeights> coded = {});
Option fp8_option();
/// The model named MODEL.
model::Model model_argument(const Arguments& arguments, int64_t positions = 0,
                            std::optional<model::CodedWeights> coded = {});

/// That warning, for a verb that opens the files itself.
void warn_of_unknown(const std::vector<std::string>& names, const std::filesystem::path& directory);

}  // namespace hadal::cli
