// GGUF files where a verb takes a model: which paths they are, and the tokenizer in them.
#pragma once

#include <filesystem>
#include <map>
#include <optional>
#include <string>

#include "checkpoint/gguf.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace hadal::cli {

/// A file, not a directory, whose name ends in .gguf.
bool is_gguf_file(const std::filesystem::path& path);

/// Nothing if the file carries no tokenizer. Error(corrupt_file) if it knows more tokens than the
/// model, Error(unsupported) as text::tokenizer_content.
std::optional<text::Tokenizer> gguf_tokenizer(const checkpoint::Gguf& file,
                                              const model::ModelConfig& config);

/// tokenizer.json and tokenizer_config.json by name; none if the file carries no tokenizer.
std::map<std::string, std::string> gguf_tokenizer_files(const checkpoint::Gguf& file,
                                                        const model::ModelConfig& config);

}  // namespace hadal::cli
