// What every verb owes its user: an example that is its own, options that are described, and one
// line of error, never a crash, for values that make no sense.
#include <doctest/doctest.h>

#include <set>
#include <string>
#include <vector>

#include "checkpoint/temporary_directory.h"
#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/file_map.h"

namespace hadal::cli {
#define HADAL_COMMAND(command) extern const Command command;
#include "cli/commands.inc"
#undef HADAL_COMMAND
}  // namespace hadal::cli

using namespace hadal;
using namespace hadal::cli;

namespace {

std::vector<const Command*> all_commands() {
    return {
#define HADAL_COMMAND(command) &command,
#include "cli/commands.inc"
#undef HADAL_COMMAND
    };
}

bool is_option(const Option& option) {
    return option.name.starts_with("--");
}

/// The message of the refusal; "" if there was none.
std::string refusal(const Command& command, const std::vector<std::string>& words) {
    try {
        const Arguments arguments(command, words, "");
        Report report(true);
        command.run(arguments, report);
    } catch (const Error& error) {
        return error.what();
    }
    return "";
}

/// Everything that is required, with paths below a file: there nothing can be read or made.
std::vector<std::string> impossible(const Command& command, const std::string& nowhere) {
    std::vector<std::string> words = {"--log-level", "error"};
    for (const Option& option : command.options) {
        if (!option.required) continue;
        if (is_option(option)) words.emplace_back(option.name);
        words.push_back(option.choices.empty() ? nowhere : std::string(option.choices.front()));
    }
    return words;
}

}  // namespace

TEST_CASE("every verb: name, summary and an example of its own") {
    std::set<std::string_view> names;
    for (const Command* command : all_commands()) {
        CAPTURE(command->name);
        CHECK(names.insert(command->name).second);
        CHECK(!command->summary.empty());
        CHECK(command->summary.back() != '.');
        CHECK(command->example.find(concat("hadal ", command->name)) != std::string_view::npos);
        CHECK(bool(command->run != nullptr));
    }
}

TEST_CASE("every verb: options are described, do not repeat, and help shows them all") {
    for (const Command* command : all_commands()) {
        CAPTURE(command->name);
        const std::string help = help_text(*command);
        CHECK(help.find(command->example) != std::string::npos);
        std::set<std::string_view> names;
        std::set<char> letters;
        bool optional_positional = false;
        for (const Option& option : command->options) {
            CAPTURE(option.name);
            CHECK(names.insert(option.name).second);
            CHECK(!option.help.empty());
            CHECK(help.find(option.name) != std::string::npos);
            if (option.letter) CHECK(letters.insert(option.letter).second);
            for (const Option& global : global_options()) CHECK(option.name != global.name);
            if (is_option(option)) continue;
            // A positional after one that may be missing could not be told from it.
            CHECK(!(option.required && optional_positional));
            optional_positional |= !option.required;
        }
    }
}

TEST_CASE("every verb: without what it requires it says what is missing") {
    for (const Command* command : all_commands()) {
        CAPTURE(command->name);
        for (const Option& option : command->options) {
            if (!option.required) continue;
            CHECK(refusal(*command, {}).find("missing") != std::string::npos);
            break;
        }
    }
}

TEST_CASE("every verb: an option it does not have is refused by name") {
    for (const Command* command : all_commands()) {
        CAPTURE(command->name);
        CHECK(refusal(*command, {"--no-such-option"}).find("--no-such-option") !=
              std::string::npos);
    }
}

TEST_CASE("every verb: values that make no sense end in an Error, and no file is made") {
    const test::TemporaryDirectory folder;
    write_file_atomically(folder / "file", "no folder");
    const std::string nowhere = (folder / "file" / "x").string();
    for (const Command* command : all_commands()) {
        const std::vector<std::string> required = impossible(*command, nowhere);
        if (required.size() == 2) continue;  // needs nothing: it would run
        for (const Option& option : command->options) {
            if (!is_option(option) || option.value.empty() || option.required) continue;
            for (const char* value : {"", "x", "-1", "0", "nan", "1e999", "99999999999999999999",
                                      "a=b=c", "\xFF\n", "/"}) {
                CAPTURE(command->name);
                CAPTURE(option.name);
                CAPTURE(value);
                std::vector<std::string> words = required;
                words.insert(words.end(), {std::string(option.name), value});
                const std::string message = refusal(*command, words);
                REQUIRE(!message.empty());
                REQUIRE(message.size() < 600);
            }
        }
        REQUIRE(std::distance(std::filesystem::directory_iterator(folder.path()),
                              std::filesystem::directory_iterator()) == 1);
    }
}
