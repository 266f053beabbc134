// `hadal chat`: a conversation in the terminal.
#include <unistd.h>

#include <iostream>
#include <nlohmann/json.hpp>

#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "text/detokenizer.h"

namespace hadal::cli {

namespace {

/// One answer, shown as it comes.
std::string answer(infer::Generator& generator, const TextModel& text_model,
                   const std::vector<int32_t>& prompt, infer::GenerateOptions options,
                   const Report& report) {
    text::Detokenizer detokenizer(text_model.tokenizer);
    std::string text;
    const auto show = [&](const std::string& piece) {
        text += piece;
        report.say_part(piece);
    };
    options.on_token = [&](int32_t id) {
        show(detokenizer.push(id));
        return true;
    };
    generator.generate(prompt, options);
    show(detokenizer.finish());
    report.say("");
    return text;
}

/// A base model knows no roles: what it is given, it continues.
void run_chat(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const TextModel text_model = text_model_argument(arguments);
    const infer::GenerateOptions options = generate_options(arguments, text_model);
    const bool plain = arguments.flag("--plain");
    infer::Generator generator(machine.context(), text_model.model);
    const chat::Prompter prompter(text_model.tokenizer, chat_template_argument(arguments));
    auto messages = nlohmann::ordered_json::array();
    const auto add = [&](const char* role, const std::string& content) {
        messages.push_back({{"role", role}, {"content", content}});
    };
    if (arguments.has("--system")) add("system", arguments.text("--system"));
    const bool terminal = isatty(STDIN_FILENO) != 0;
    if (terminal) report.say("An empty line or Ctrl-D ends the conversation.");
    for (std::string line; true;) {
        if (terminal) report.say_part("> ");
        if (!std::getline(std::cin, line) || line.empty()) break;
        if (plain) {
            answer(generator, text_model, infer::prompt_ids(text_model.tokenizer, line), options,
                   report);
            continue;
        }
        add("user", line);
        const std::vector<int32_t> prompt = prompter.ids(messages, nullptr, {});
        add("assistant", answer(generator, text_model, prompt, options, report));
    }
}

std::vector<Option> options() {
    std::vector<Option> options = {
        {.name = "MODEL", .help = "a model directory", .required = true},
        {.name = "--system", .value = "TEXT", .help = "instructions before the conversation"},
        chat_template_option(),
        {.name = "--plain", .help = "no roles: continue each line as it is (for base models)"},
    };
    const std::vector<Option> shared = generation_options();
    options.insert(options.end(), shared.begin(), shared.end());
    return options;
}

}  // namespace

extern const Command kChat = {
    .name = "chat",
    .group = Group::use,
    .summary = "A conversation in the terminal",
    .example = "hadal chat runs/demo/train/model --temperature 0.7",
    .options = options(),
    .run = run_chat,
};

}  // namespace hadal::cli
