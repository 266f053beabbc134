#include "cli/gguf_file.h"

#include "core/error.h"
#include "text/gguf_tokenizer.h"
#include "text/tokenizer_json.h"

namespace hadal::cli {

namespace {

/// Nothing if the file carries none.
std::optional<text::GgufVocabulary> vocabulary(const checkpoint::Gguf& file) {
    const auto model = file.text("tokenizer.ggml.model");
    if (!model || *model == "none") return std::nullopt;
    return text::GgufVocabulary{
        .model = *model,
        .pretokenizer = file.text("tokenizer.ggml.pre").value_or("(none named)"),
        .tokens = file.texts("tokenizer.ggml.tokens").value_or(std::vector<std::string_view>()),
        .types = file.integers("tokenizer.ggml.token_type").value_or(std::vector<int64_t>()),
        .merges = file.texts("tokenizer.ggml.merges").value_or(std::vector<std::string_view>()),
        .bos_id = file.integer("tokenizer.ggml.bos_token_id"),
        .eos_id = file.integer("tokenizer.ggml.eos_token_id"),
        .pad_id = file.integer("tokenizer.ggml.padding_token_id"),
        .add_bos = file.truth("tokenizer.ggml.add_bos_token").value_or(false),
        .chat_template = file.text("tokenizer.chat_template")};
}

}  // namespace

bool is_gguf_file(const std::filesystem::path& path) {
    return path.extension() == ".gguf" && !std::filesystem::is_directory(path);
}

std::optional<text::Tokenizer> gguf_tokenizer(const checkpoint::Gguf& file,
                                              const model::ModelConfig& config) {
    const auto carried = vocabulary(file);
    if (!carried) return std::nullopt;
    const std::string where = file.path().string();
    if (int64_t(carried->tokens.size()) > config.vocab_size) {
        throw Error(Error::Kind::corrupt_file,
                    concat("tokenizer: knows ", carried->tokens.size(), " tokens, the model ",
                           config.vocab_size, ": ", where));
    }
    return text::Tokenizer(text::tokenizer_content(*carried, where), where);
}

std::map<std::string, std::string> gguf_tokenizer_files(const checkpoint::Gguf& file,
                                                        const model::ModelConfig& config) {
    const auto tokenizer = gguf_tokenizer(file, config);
    if (!tokenizer) return {};
    return {{"tokenizer.json", text::tokenizer_json(tokenizer->content())},
            {"tokenizer_config.json", text::tokenizer_config_json(tokenizer->content())}};
}

}  // namespace hadal::cli
