// What every caller that lets a model continue a text must do in the same way: the ids to begin
// with, the ids that may follow, and those that end it.
#pragma once

#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "grammar/token_mask.h"
#include "infer/generator.h"
#include "model/config.h"
#include "text/tokenizer.h"

namespace hadal::infer {

/// Ids of a text, with the BOS token in front where the tokenizer's configuration asks for it.
/// `parse_special` as Tokenizer::encode.
std::vector<int32_t> prompt_ids(const text::Tokenizer& tokenizer, std::string_view text,
                                bool parse_special = false);

/// Greedy options under which every chosen id is a token of the tokenizer (a head is often padded
/// beyond it), and which end at the end-of-text ids of config.json and of the tokenizer.
GenerateOptions text_options(const model::ModelConfig& config, const text::Tokenizer& tokenizer);

/// The tokenizer's tokens as grammars see them: special tokens are no text. Some 10 MB of V3's; one
/// serves all requests.
std::shared_ptr<const grammar::Vocabulary> grammar_vocabulary(const text::Tokenizer& tokenizer);

}  // namespace hadal::infer
