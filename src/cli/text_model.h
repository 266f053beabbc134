// A model with its tokenizer, for the verbs that speak text.
#pragma once

#include "chat/prompter.h"
#include "cli/arguments.h"
#include "infer/text_prompt.h"
#include "model/transformer.h"
#include "text/tokenizer.h"

namespace hadal::cli {

struct TextModel {
    model::Model model;
    text::Tokenizer tokenizer;
};

/// A model and the tokenizer beside it, as open_model.
TextModel open_text_model(const std::filesystem::path& directory, const Globals& globals,
                          int64_t positions = 0);
/// A model and the tokenizer of its directory. Error(corrupt_file) if that knows more tokens.
TextModel with_tokenizer(model::Model model, const std::filesystem::path& directory);
/// Those of the model named MODEL.
TextModel text_model_argument(const Arguments& arguments, int64_t positions = 0);

/// What --speculate says.
struct Speculation {
    int64_t draft_tokens = 0;
    infer::DraftSource source = infer::DraftSource::mtp;
    bool adaptive = true;  // fewer guesses, or none, where they do not pay
};
Option speculate_option();
Speculation speculation_argument(const Arguments& arguments, const model::ModelConfig& config);

/// The template of --chat-template, or that of the model's directory; none of a GGUF file, whose
/// tokenizer has it.
std::optional<chat::Template> chat_template_argument(const Arguments& arguments);
Option chat_template_option();

/// Sampling and speculation options that `generate` and `chat` share, and their values.
std::vector<Option> generation_options();
infer::GenerateOptions generate_options(const Arguments& arguments, const TextModel& text_model);

}  // namespace hadal::cli
