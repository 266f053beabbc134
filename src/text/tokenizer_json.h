// tokenizer.json and tokenizer_config.json, as Hugging Face writes them.
#pragma once

#include <filesystem>

#include "text/tokenizer.h"

namespace hadal::text {

/// `path`: a model's directory or a tokenizer.json. Errors as Tokenizer::load.
TokenizerContent read_tokenizer(const std::filesystem::path& path);

/// The same from texts; no `config_json`: V3's names make the control tokens. `where` names them.
TokenizerContent parse_tokenizer(std::string_view tokenizer_json,
                                 const std::optional<std::string>& config_json,
                                 std::string_view where);

/// Both files into `directory`, each in one step. Error(io) if the system refuses.
void write_tokenizer(const TokenizerContent& content, const std::filesystem::path& directory);

/// The text of tokenizer.json; Hugging Face `tokenizers` reads it and gives the same ids.
std::string tokenizer_json(const TokenizerContent& content);
std::string tokenizer_config_json(const TokenizerContent& content);

}  // namespace hadal::text
