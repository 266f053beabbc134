// The help texts: `hadal --help` and `hadal VERB --help`.
#include <algorithm>

#include "cli/arguments.h"
#include "core/error.h"

namespace hadal::cli {

namespace {

struct Heading {
    Group group;
    std::string_view text;
};

constexpr Heading kHeadings[] = {
    {Group::machine, "The machine"},
    {Group::text, "Text and data"},
    {Group::model, "Models"},
    {Group::training, "Training"},
    {Group::use, "Use"},
    {Group::evaluation, "Measuring"},
    {Group::planning, "Planning"},
};

std::string pad(std::string text, size_t width) {
    if (text.size() < width) text.resize(width, ' ');
    return text;
}

std::string left_column(const Option& option) {
    std::string text = "  ";
    if (option.letter != 0) text += concat("-", option.letter, ", ");
    text += option.name;
    if (!option.value.empty()) text += concat(" ", option.value);
    return text;
}

std::string option_lines(std::span<const Option> options) {
    size_t width = 0;
    for (const Option& option : options) width = std::max(width, left_column(option).size());
    std::string text;
    for (const Option& option : options) {
        text += concat(pad(left_column(option), width + 2), option.help);
        if (!option.fallback.empty()) text += concat(" (", option.fallback, ")");
        text += "\n";
    }
    return text;
}

std::string usage_line(const Command& command) {
    std::string text = concat("hadal ", command.name);
    for (const Option& option : command.options) {
        if (option.name.starts_with("--")) {
            if (option.required) text += concat(" ", option.name, " ", option.value);
        } else {
            const std::string dots = option.repeated ? "…" : "";
            text += option.required ? concat(" ", option.name, dots)
                                    : concat(" [", option.name, dots, "]");
        }
    }
    return text + " [options]\n";
}

}  // namespace

std::string help_text(const Command& command) {
    return concat("Example:\n  ", command.example, "\n\n", command.summary,
                  ".\n\nUsage: ", usage_line(command), command.options.empty() ? "" : "\n",
                  option_lines(command.options), "\nIn every verb:\n",
                  option_lines(global_options()));
}

std::string help_text(std::span<const Command* const> commands) {
    size_t width = 0;
    for (const Command* command : commands) width = std::max(width, command->name.size());
    std::string text =
        "hadal: a DeepSeek-V3-family model from text to talk.\n\n"
        "Example:\n  hadal doctor\n\nUsage: hadal VERB ARGUMENTS [options]\n";
    for (const Heading& heading : kHeadings) {
        std::string lines;
        for (const Command* command : commands) {
            if (command->group != heading.group) continue;
            lines +=
                concat("  ", pad(std::string(command->name), width + 2), command->summary, "\n");
        }
        if (!lines.empty()) text += concat("\n", heading.text, "\n", lines);
    }
    return text + "\nhadal VERB --help shows a verb's example and options.\n";
}

}  // namespace hadal::cli
