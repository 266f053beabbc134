// `hadal generate`: a continuation of a text.
#include <algorithm>

#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "cli/token_ids.h"
#include "text/detokenizer.h"

namespace hadal::cli {

namespace {

/// The text of --prompt, or what the file of --tokens holds.
std::string prompt_content(const Arguments& arguments) {
    if (arguments.has("--prompt") == arguments.has("--tokens")) {
        throw Error(Error::Kind::usage, "give either --prompt or --tokens");
    }
    if (arguments.has("--prompt")) return arguments.text("--prompt");
    return file_content(arguments, "--tokens");
}

/// More than any token of this run can have. A model may allow for so many positions that the table
/// of their angles would take longer than the weights of the first token; the prompt's ids are not
/// known before the model, but each takes at least a byte.
int64_t bound_of_positions(const Arguments& arguments, const std::string& content) {
    constexpr int64_t kBosAndDrafts = 64;
    return int64_t(content.size()) +
           std::min(arguments.integer("--max-tokens", 0), int64_t(1) << 32) + kBosAndDrafts;
}

std::vector<int32_t> prompt_of(const Arguments& arguments, const TextModel& text_model,
                               const std::string& content) {
    if (arguments.has("--prompt"))
        return infer::prompt_ids(text_model.tokenizer, content, arguments.flag("--special"));
    return parse_token_ids(content, arguments.text("--tokens"), text_model.model.config.vocab_size);
}

/// Collects the text, shows it as it comes, and finds stop strings even across the border of two
/// tokens.
class Output {
  public:
    Output(const text::Tokenizer& tokenizer, std::vector<std::string> stops, const Report& report)
        : detokenizer_(tokenizer), stops_(std::move(stops)), report_(report) {}

    /// False when a stop string is complete.
    bool push(int32_t id) {
        text_ += detokenizer_.push(id);
        return show();
    }
    std::string finish() {
        if (!stopped_) {
            text_ += detokenizer_.finish();
            show();
            report_.say_part(text_.substr(shown_));
        }
        return text_;
    }

  private:
    bool show() {
        for (const std::string& stop : stops_) {
            const size_t at = text_.find(stop, shown_ > stop.size() ? shown_ - stop.size() : 0);
            if (at == std::string::npos) continue;
            text_.resize(at);
            stopped_ = true;
        }
        // What might be the begin of a stop string is held back.
        size_t safe = text_.size();
        for (const std::string& stop : stops_) {
            for (size_t n = std::min(stop.size(), text_.size()); n > 0 && !stopped_; --n) {
                if (text_.ends_with(std::string_view(stop).substr(0, n))) {
                    safe = std::min(safe, text_.size() - n);
                    break;
                }
            }
        }
        if (safe > shown_) {
            report_.say_part(text_.substr(shown_, safe - shown_));
            shown_ = safe;
        }
        return !stopped_;
    }

    text::Detokenizer detokenizer_;
    std::vector<std::string> stops_;
    const Report& report_;
    std::string text_;
    size_t shown_ = 0;
    bool stopped_ = false;
};

void run_generate(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const std::string content = prompt_content(arguments);
    const TextModel text_model =
        text_model_argument(arguments, bound_of_positions(arguments, content));
    const std::vector<int32_t> prompt = prompt_of(arguments, text_model, content);
    infer::GenerateOptions options = generate_options(arguments, text_model);
    Output output(text_model.tokenizer, arguments.texts("--stop"), report);
    options.on_token = [&](int32_t id) { return output.push(id); };
    infer::Generator generator(machine.context(), text_model.model);
    generator.check(prompt, options);
    if (arguments.has("--prompt")) report.say_part(arguments.text("--prompt"));
    const infer::GenerateResult result = generator.generate(prompt, options);
    const std::string text = output.finish();
    report.say("");
    if (report.json()) {
        report.add("text", text);
        report.add("tokens", std::vector<int64_t>(result.tokens.begin(), result.tokens.end()));
    }
    report.add("finish_reason", infer::name(result.finish_reason));
    report.add("prompt_tokens", prompt.size());
    report.add("prefill_tokens_per_second",
               double(result.prefill_tokens) / std::max(result.prefill_seconds, 1e-9));
    report.add("decode_tokens_per_second",
               double(result.tokens.size()) / std::max(result.decode_seconds, 1e-9));
    report.add("draft_tokens", result.draft_tokens);
    report.add("accepted_tokens", result.accepted_tokens);
}

std::vector<Option> options() {
    std::vector<Option> options = {
        {.name = "MODEL", .help = "a model directory", .required = true},
        {.name = "--prompt", .value = "TEXT", .help = "the text to continue", .letter = 'p'},
        {.name = "--tokens",
         .value = "FILE",
         .help = "a JSON array of token ids instead; - for standard input"},
        {.name = "--special",
         .help = "read special tokens in the prompt, e.g. for fill-in-the-middle"},
        {.name = "--stop",
         .value = "TEXT",
         .help = "end before this text; may be given several times",
         .repeated = true},
    };
    const std::vector<Option> shared = generation_options();
    options.insert(options.end(), shared.begin(), shared.end());
    return options;
}

}  // namespace

extern const Command kGenerate = {
    .name = "generate",
    .group = Group::use,
    .summary = "Continue a text",
    .example = "hadal generate runs/demo/train/model -p \"Once upon a time\" -n 100",
    .options = options(),
    .run = run_generate,
};

}  // namespace hadal::cli
