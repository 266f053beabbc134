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

/// A model directory or GGUF file in `dtype` (default bf16, or f32 where a directory holds f32).
/// `positions` as model::load_model; weights in block-FP8 and INT4 stay where they are unless asked
/// for as values. Warns on standard error of tensors that the configuration does not know.
model::Model open_model(const std::filesystem::path& directory, std::optional<DType> dtype,
                        int64_t positions = 0,
                        model::CodedWeights coded = model::CodedWeights::in_place);
/// A block-FP8 checkpoint whose linear layers multiply in FP8, if --fp8 is given; else as
/// model_argument.
model::Model scored_model_argument(const Arguments& arguments, int64_t positions = 0,
                                   model::CodedWeights coded = model::CodedWeights::in_place);
Option fp8_option();
/// The model named MODEL in the type that --dtype asks for.
model::Model model_argument(const Arguments& arguments, int64_t positions = 0,
                            model::CodedWeights coded = model::CodedWeights::in_place);

/// That warning, for a verb that opens the files itself.
void warn_of_unknown(const std::vector<std::string>& names, const std::filesystem::path& directory);

}  // namespace hadal::cli
