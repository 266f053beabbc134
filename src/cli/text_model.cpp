#include "cli/text_model.h"

#include <utility>

#include <charconv>

#include "cli/engine_argument.h"
#include "cli/gguf_file.h"
#include "cli/model_argument.h"
#include "core/file_map.h"

namespace hadal::cli {

namespace {

/// A model directory's tokenizer, or that in a GGUF file.
text::Tokenizer tokenizer_of(const std::filesystem::path& path, const model::ModelConfig& config) {
    if (!is_gguf_file(path)) return text::Tokenizer::load(path);
    auto carried = gguf_tokenizer(checkpoint::Gguf::open(path), config);
    if (carried) return std::move(*carried);
    throw Error(Error::Kind::bad_input,
                concat("carries no tokenizer: ", path.string(),
                       " (hadal convert it and add the release's tokenizer.json)"));
}

}  // namespace

TextModel with_tokenizer(model::Model model, const std::filesystem::path& directory) {
    text::Tokenizer tokenizer = tokenizer_of(directory, model.config);
    TextModel result{std::move(model), std::move(tokenizer)};
    const int64_t vocab = result.model.config.vocab_size;
    if (result.tokenizer.vocab_size() > vocab) {
        throw Error(Error::Kind::corrupt_file,
                    concat("the tokenizer knows ", result.tokenizer.vocab_size(),
                           " tokens, the model only ", vocab, ": ", directory.string(),
                           " (tokenizer.json belongs to another model)"));
    }
    return result;
}

TextModel open_text_model(const std::filesystem::path& directory, const Globals& globals,
                          int64_t positions) {
    return with_tokenizer(open_model(directory, globals, positions), directory);
}

TextModel text_model_argument(const Arguments& arguments, int64_t positions) {
    return open_text_model(arguments.path("MODEL"), arguments.globals(), positions);
}

Option speculate_option() {
    return {.name = "--speculate",
            .value = "off|K|always:K|text:K",
            .help =
                "tokens guessed per step, by the MTP module (default 1) or from the text itself; "
                "fewer where guesses do not pay, except with always"};
}

/// The K of "--speculate KIND:K". Error(usage) if it is none.
int64_t guesses_after(std::string_view kind, const std::string& value) {
    constexpr int64_t kMost = 16;
    int64_t count = 0;
    const char* begin = value.data() + kind.size();
    const auto [end, error] = std::from_chars(begin, value.data() + value.size(), count);
    if (error != std::errc() || end != value.data() + value.size() || count < 1 || count > kMost) {
        throw Error(Error::Kind::usage,
                    concat("--speculate wants off, K, always:K or text:K with K from 1 to ", kMost,
                           ", got '", value, "'"));
    }
    return count;
}

/// Without the option: one guess by the module where the model has one.
Speculation speculation_argument(const Arguments& arguments, const model::ModelConfig& config) {
    constexpr std::string_view kText = "text:", kAlways = "always:";
    if (!arguments.has("--speculate")) {
        return {.draft_tokens = config.num_nextn_predict_layers > 0 ? 1 : 0};
    }
    const std::string& value = arguments.text("--speculate");
    if (value == "off") return {};
    if (value.starts_with(kText)) {
        return {guesses_after(kText, value), infer::DraftSource::prompt_lookup};
    }
    if (value.starts_with(kAlways)) {
        return {.draft_tokens = guesses_after(kAlways, value), .adaptive = false};
    }
    return {guesses_after("", value)};
}

std::optional<chat::Template> chat_template_argument(const Arguments& arguments) {
    if (arguments.has("--chat-template")) {
        const std::filesystem::path path = arguments.path("--chat-template");
        return chat::Template(read_file(path), path.string());
    }
    const std::filesystem::path model = arguments.path("MODEL");
    return is_gguf_file(model) ? std::nullopt : chat::Template::load(model);
}

Option chat_template_option() {
    return {.name = "--chat-template",
            .value = "FILE",
            .help = "Jinja (default: the model's own, else DeepSeek-V3's)"};
}

std::vector<Option> generation_options() {
    return {
        {.name = "--max-tokens",
         .value = "N",
         .help = "new tokens at most",
         .fallback = "128",
         .letter = 'n'},
        {.name = "--temperature",
         .value = "X",
         .help = "0 takes the most probable token",
         .fallback = "0"},
        {.name = "--top-k",
         .value = "N",
         .help = "keep the N most probable tokens; 0 keeps all",
         .fallback = "0"},
        {.name = "--top-p",
         .value = "X",
         .help = "keep the fewest tokens that reach this probability",
         .fallback = "1"},
        {.name = "--min-p",
         .value = "X",
         .help = "drop tokens below this share of the best one's probability",
         .fallback = "0"},
        speculate_option(),
        attention_option(),
        cache_dtype_option(),
    };
}

infer::GenerateOptions generate_options(const Arguments& arguments, const TextModel& text_model) {
    infer::GenerateOptions options =
        infer::text_options(text_model.model.config, text_model.tokenizer);
    options.max_new_tokens = arguments.integer("--max-tokens", 0);
    options.sampling = {.temperature = arguments.number("--temperature"),
                        .top_k = arguments.integer("--top-k"),
                        .top_p = arguments.number("--top-p"),
                        .min_p = arguments.number("--min-p"),
                        .seed = arguments.seed()};
    const Speculation guesses = speculation_argument(arguments, text_model.model.config);
    options.draft_tokens = guesses.draft_tokens;
    options.draft_source = guesses.source;
    options.adaptive_drafts = guesses.adaptive;
    options.attention = attention_forms(arguments);
    options.fp8_cache = is_cache_fp8(arguments);
    return options;
}

}  // namespace hadal::cli
