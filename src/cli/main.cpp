// Where every run begins and every error ends: finds the verb, parses its arguments, runs it, and
// turns an Error into one line on standard error and an exit status.
#include <cstdio>
#include <cstdlib>
#include <new>
#include <string>
#include <vector>

#include "cli/arguments.h"
#include "cli/command.h"
#include "cli/report.h"
#include "core/error.h"

namespace hadal::cli {

#define HADAL_COMMAND(command) extern const Command command;
#include "cli/commands.inc"
#undef HADAL_COMMAND

namespace {

std::vector<const Command*> all_commands() {
    return {
#define HADAL_COMMAND(command) &command,
#include "cli/commands.inc"
#undef HADAL_COMMAND
    };
}

void print_help(const std::string& text) {
    std::fputs(text.c_str(), stdout);
}

void run(const std::vector<std::string>& words) {
    const std::vector<const Command*> commands = all_commands();
    if (words.empty()) {
        throw Error(Error::Kind::usage, "no verb given (see hadal --help)");
    }
    if (words[0] == "--help" || words[0] == "-h" || words[0] == "help") {
        return print_help(help_text(commands));
    }
    size_t consumed = 0;
    const Command& command = find_command(commands, words, consumed);
    const char* isa = std::getenv("HADAL_ISA");
    const std::vector<std::string> rest(words.begin() + std::ptrdiff_t(consumed), words.end());
    const Arguments arguments(command, rest, isa == nullptr ? "" : isa);
    if (arguments.globals().help) return print_help(help_text(command));
    Report report(arguments.globals().json);
    command.run(arguments, report);
    report.finish();
}

/// An error is one line whatever a file's name or content brought into it.
std::string one_line(std::string text) {
    for (char& c : text) {
        if (c == '\n' || c == '\r') c = ' ';
    }
    return text;
}

int guarded_run(const std::vector<std::string>& words) {
    try {
        run(words);
        return 0;
    } catch (const Error& error) {
        std::fprintf(stderr, "error: %s\n", one_line(error.what()).c_str());
        return error.exit_status();
    } catch (const std::bad_alloc&) {
        std::fputs("error: out of memory (use a smaller batch, context or model)\n", stderr);
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", one_line(error.what()).c_str());
    }
    return 1;
}

}  // namespace
}  // namespace hadal::cli

int main(int argument_count, char** arguments) {
    return hadal::cli::guarded_run(
        std::vector<std::string>(arguments + 1, arguments + argument_count));
}
