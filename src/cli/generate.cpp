// `hadal generate`: a continuation of a text.
#include <algorithm>
#include <array>

#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "cli/token_ids.h"
#include "grammar/ebnf.h"
#include "grammar/json_schema.h"
#include "grammar/regex.h"
#include "infer/text_prompt.h"
#include "infer/text_stream.h"

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

/// What --grammar, --json-schema or --regex allows; null without them.
std::shared_ptr<grammar::TokenMasks> grammar_of(const Arguments& arguments,
                                                const text::Tokenizer& tokenizer) {
    constexpr std::array kOptions = {"--grammar", "--json-schema", "--regex"};
    const auto given =
        std::ranges::count_if(kOptions, [&](const char* option) { return arguments.has(option); });
    if (given == 0) return nullptr;
    if (given > 1) {
        throw Error(Error::Kind::usage, "give one of --grammar, --json-schema and --regex");
    }
    grammar::Grammar wanted;
    if (arguments.has("--grammar")) {
        wanted = grammar::parse_ebnf(file_content(arguments, "--grammar"));
    } else if (arguments.has("--json-schema")) {
        wanted = grammar::json_schema_grammar(file_content(arguments, "--json-schema"));
    } else {
        wanted.rules = {{"root", grammar::parse_regex(arguments.text("--regex"))}};
    }
    return std::make_shared<grammar::TokenMasks>(infer::grammar_vocabulary(tokenizer),
                                                 grammar::compile(wanted));
}

void run_generate(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const std::string content = prompt_content(arguments);
    const TextModel text_model =
        text_model_argument(arguments, bound_of_positions(arguments, content));
    const std::vector<int32_t> prompt = prompt_of(arguments, text_model, content);
    infer::GenerateOptions options = generate_options(arguments, text_model);
    options.grammar = grammar_of(arguments, text_model.tokenizer);
    infer::TextStream stream(text_model.tokenizer, arguments.texts("--stop"));
    options.on_token = [&](int32_t id) {
        report.say_part(stream.push(id));
        return !stream.stopped();
    };
    infer::Generator generator(machine.context(), text_model.model);
    generator.check(prompt, options);
    if (arguments.has("--prompt")) report.say_part(arguments.text("--prompt"));
    const infer::GenerateResult result = generator.generate(prompt, options);
    report.say_part(stream.finish());
    report.say("");
    if (report.json()) {
        report.add("text", stream.text());
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
        {.name = "--json-schema",
         .value = "FILE",
         .help = "the text is JSON of this schema; - for standard input"},
        {.name = "--grammar",
         .value = "FILE",
         .help = "the text is of this grammar, in EBNF; - for standard input"},
        {.name = "--regex", .value = "PATTERN", .help = "the text matches this pattern"},
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
