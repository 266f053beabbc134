// What a verb of the command line is: data that the help text, the parser and main share.
#pragma once

#include <string_view>
#include <vector>

namespace hadal::cli {

class Arguments;
class Report;

/// One thing that a verb accepts. A name in capitals is a positional argument, in order of
/// declaration; one that begins with "--" is an option.
struct Option {
    std::string_view name;        // "MODEL", "--out"
    std::string_view value = "";  // what follows an option, for the help text: "DIR"; empty: a flag
    std::string_view help = "";
    std::string_view fallback = "";  // taken as if given when it is not; empty: absent
    char letter = 0;                 // 'p' for -p
    bool required = false;
    bool repeated = false;  // may come several times, or as the remaining positionals
    std::vector<std::string_view> choices = {};  // all values allowed; empty: any
};

/// Headings of `hadal --help`, in the order of a model's life.
enum class Group { machine, text, model, training, use, evaluation, planning };

struct Command {
    std::string_view name;  // "inspect", or verb and noun: "tokenizer train"
    Group group = Group::machine;
    std::string_view summary;
    std::string_view example;  // a line that works as it stands
    std::vector<Option> options = {};
    void (*run)(const Arguments& arguments, Report& report) = nullptr;
};

}  // namespace hadal::cli
