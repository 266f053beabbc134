// A trained model as a directory in Hugging Face layout, with the tokenizer it was trained with.
#pragma once

#include <filesystem>

#include "model/transformer.h"

namespace hadal::train {

/// Writes config.json, model*.safetensors, generation_config.json, and the tokenizer's files out of
/// `tokenizer` (a directory or its tokenizer.json; "" for none), all or nothing. Replaces a model
/// directory of that name.
void export_model(model::Model& model, const std::filesystem::path& tokenizer,
                  const std::filesystem::path& directory);

}  // namespace hadal::train
