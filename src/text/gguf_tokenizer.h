// The tokenizer that a GGUF file carries, as what tokenizer.json would say. GGUF holds tokens and
// merges, but of the pre-tokeniser only a name: its expressions are known here or nowhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace hadal::text {

/// The values of the keys `tokenizer.*`; views of the file.
struct GgufVocabulary {
    std::string_view model = {};                // tokenizer.ggml.model: "gpt2" is byte-level BPE
    std::string_view pretokenizer = {};         // tokenizer.ggml.pre
    std::vector<std::string_view> tokens = {};  // by id; plain ones in the letters of bytes
    std::vector<int64_t> types;                 // by id
    std::vector<std::string_view> merges = {};  // by rank, "left right"
    std::optional<int64_t> bos_id = {}, eos_id = {}, pad_id = {};
    bool add_bos = false;
    std::optional<std::string_view> chat_template = {};  // Jinja
};

/// Error(unsupported) for another model or pre-tokeniser, or a type of token that has no place in
/// byte-level BPE; Error(corrupt_file) where the lists contradict themselves. `where` names the
/// file.
TokenizerContent tokenizer_content(const GgufVocabulary& vocabulary, std::string_view where);

}  // namespace hadal::text
