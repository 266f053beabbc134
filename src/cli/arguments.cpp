#include "cli/arguments.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>

#include "core/error.h"
#include "core/nearest_name.h"

namespace hadal::cli {

namespace {

bool is_option(std::string_view name) {
    return name.starts_with("--");
}

[[noreturn]] void fail(const Command& command, const std::string& message) {
    throw Error(Error::Kind::usage, concat(message, " (see hadal ", command.name, " --help)"));
}

int64_t parse_integer(const Command& command, std::string_view name, std::string_view text,
                      int64_t minimum, int64_t maximum) {
    int64_t value = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (problem != std::errc() || end != text.data() + text.size()) {
        fail(command, concat(name, " wants a whole number, got '", text, "'"));
    }
    if (value < minimum || value > maximum) {
        std::string range = concat("at least ", minimum);
        if (maximum != INT64_MAX) range += concat(" and at most ", maximum);
        fail(command, concat(name, " must be ", range, ", got ", value));
    }
    return value;
}

std::vector<std::string> option_names(const Command& command) {
    std::vector<std::string> names;
    for (const Option& option : command.options) {
        if (is_option(option.name)) names.emplace_back(option.name);
    }
    for (const Option& option : global_options()) names.emplace_back(option.name);
    return names;
}

const Option* find_by_word(std::span<const Option> options, std::string_view word) {
    for (const Option& option : options) {
        if (is_option(option.name) && option.name == word) return &option;
        if (option.letter != 0 && word.size() == 2 && word[1] == option.letter) return &option;
    }
    return nullptr;
}

bool is_global(const Option& option) {
    const auto globals = global_options();
    return &option >= globals.data() && &option < globals.data() + globals.size();
}

/// "-3" and "-" are values; "-p" and "--top-p" are options.
bool looks_like_option(std::string_view word) {
    return word.size() > 1 && word[0] == '-' && (word[1] < '0' || word[1] > '9') && word[1] != '.';
}

}  // namespace

std::span<const Option> global_options() {
    static const std::vector<Option> options = {
        {.name = "--json", .help = "one JSON object on standard output and nothing else there"},
        {.name = "--threads",
         .value = "N",
         .help = "threads to compute with (all usable ones)",
         .letter = 't'},
        {.name = "--device",
         .value = "auto|cpu",
         .help = "where to compute",
         .choices = {"auto", "cpu", "cuda"}},
        {.name = "--seed",
         .value = "N",
         .help = "seed of everything random (0, or what the recipe says)"},
        {.name = "--dtype",
         .value = "bf16|f32",
         .help = "type to compute in",
         .choices = {"bf16", "f32"}},
        {.name = "--activations",
         .value = "int8|bf16",
         .help = "what weights in INT4 and INT8 are multiplied by (int8)",
         .choices = {"int8", "bf16"}},
        {.name = "--log-level",
         .value = "LEVEL",
         .help = "debug, info, warning or error (info)",
         .choices = {"debug", "info", "warning", "error"}},
        {.name = "--isa",
         .value = "NAME",
         .help =
             "vector instructions: portable, avx2, avx512 or amx (the best here; also HADAL_ISA)"},
        {.name = "--help", .help = "this text", .letter = 'h'},
    };
    return options;
}

Arguments::Arguments(const Command& command, std::span<const std::string> words,
                     std::string_view isa_environment)
    : command_(command) {
    if (!isa_environment.empty()) globals_.isa = parse_isa(isa_environment);
    parse(words);
    if (!globals_.help) finish();
}

void Arguments::parse(std::span<const std::string> words) {
    size_t next_positional = 0;
    bool options_end = false;
    for (size_t i = 0; i < words.size(); ++i) {
        if (!options_end && words[i] == "--") {
            options_end = true;
        } else if (!options_end && looks_like_option(words[i])) {
            i = parse_option(words, i);
        } else {
            parse_positional(words[i], next_positional);
        }
    }
}

size_t Arguments::parse_option(std::span<const std::string> words, size_t index) {
    const std::string& word = words[index];
    const size_t equals = word.starts_with("--") ? word.find('=') : std::string::npos;
    const std::string name = word.substr(0, equals);
    const Option* option = find_by_word(command_.options, name);
    if (option == nullptr) option = find_by_word(global_options(), name);
    if (option == nullptr) {
        fail(command_,
             concat("unknown option '", name, "'", did_you_mean(name, option_names(command_))));
    }
    std::string value;
    if (option->value.empty()) {
        if (equals != std::string::npos) fail(command_, concat(option->name, " takes no value"));
    } else if (equals != std::string::npos) {
        value = word.substr(equals + 1);
    } else {
        if (index + 1 >= words.size()) {
            fail(command_, concat(option->name, " wants a value: ", option->value));
        }
        value = words[++index];
    }
    store(*option, value);
    return index;
}

void Arguments::parse_positional(const std::string& word, size_t& next) {
    size_t position = 0;
    for (const Option& option : command_.options) {
        if (is_option(option.name)) continue;
        if (position++ < next) continue;
        if (!option.repeated) ++next;
        store(option, word);
        return;
    }
    fail(command_, concat("unexpected argument '", word, "'"));
}

void Arguments::store(const Option& option, const std::string& value) {
    if (!option.choices.empty() &&
        std::ranges::find(option.choices, value) == option.choices.end()) {
        std::vector<std::string> choices(option.choices.begin(), option.choices.end());
        fail(command_,
             concat(option.name, " cannot be '", value, "'", did_you_mean(value, choices)));
    }
    if (is_global(option)) return set_global(option.name, value);
    auto& values = values_[std::string(option.name)];
    if (!values.empty() && !option.repeated) {
        fail(command_, concat(option.name, " is given twice"));
    }
    values.push_back(value);
}

void Arguments::set_global(std::string_view name, const std::string& value) {
    if (name == "--json") globals_.json = true;
    if (name == "--help") globals_.help = true;
    if (name == "--threads") globals_.threads = int(parse_integer(command_, name, value, 1, 4096));
    if (name == "--seed")
        globals_.seed = uint64_t(parse_integer(command_, name, value, 0, INT64_MAX));
    if (name == "--dtype") globals_.dtype = value == "f32" ? DType::f32 : DType::bf16;
    if (name == "--activations") globals_.int8_activations = value == "int8";
    if (name == "--log-level") globals_.log_level = value;
    if (name == "--isa") globals_.isa = parse_isa(value);
    if (name == "--device" && value == "cuda") {
        throw Error(Error::Kind::unsupported,
                    "--device cuda: this build has no GPU support (use --device cpu)");
    }
}

void Arguments::finish() {
    for (const Option& option : command_.options) {
        if (has(option.name)) continue;
        if (!option.fallback.empty())
            values_[std::string(option.name)] = {std::string(option.fallback)};
        if (option.required) fail(command_, concat(option.name, " is missing"));
    }
}

const Option& Arguments::declared(std::string_view name) const {
    const auto found = std::ranges::find(command_.options, name, &Option::name);
    HADAL_ASSERT(found != command_.options.end());
    return *found;
}

bool Arguments::has(std::string_view name) const {
    return values_.contains(declared(name).name);
}

const std::string& Arguments::text(std::string_view name) const {
    const auto found = values_.find(declared(name).name);
    if (found == values_.end()) fail(command_, concat(name, " is missing"));
    return found->second.front();
}

Arguments Arguments::with(std::string_view name, const std::string& value) const {
    Arguments changed = *this;
    changed.values_[std::string(declared(name).name)] = {value};
    return changed;
}

std::vector<std::string> Arguments::texts(std::string_view name) const {
    const auto found = values_.find(declared(name).name);
    return found == values_.end() ? std::vector<std::string>() : found->second;
}

int64_t Arguments::integer(std::string_view name, int64_t minimum, int64_t maximum) const {
    return parse_integer(command_, name, text(name), minimum, maximum);
}

std::vector<int64_t> Arguments::integers(std::string_view name, int64_t minimum) const {
    std::vector<int64_t> values;
    std::string_view rest = text(name);
    while (true) {
        const size_t comma = rest.find(',');
        values.push_back(parse_integer(command_, name, rest.substr(0, comma), minimum, INT64_MAX));
        if (comma == std::string_view::npos) return values;
        rest.remove_prefix(comma + 1);
    }
}

double Arguments::number(std::string_view name, double minimum, double maximum) const {
    const std::string& value_text = text(name);
    char* end = nullptr;
    const double value = std::strtod(value_text.c_str(), &end);
    if (value_text.empty() || *end != '\0' || !std::isfinite(value)) {
        fail(command_, concat(name, " wants a number, got '", value_text, "'"));
    }
    if (value < minimum || value > maximum) {
        fail(command_,
             concat(name, " must be between ", minimum, " and ", maximum, ", got ", value));
    }
    return value;
}

const Command& find_command(std::span<const Command* const> commands,
                            std::span<const std::string> words, size_t& consumed) {
    HADAL_ASSERT(!words.empty());
    std::vector<std::string> verbs, nouns;
    for (const Command* command : commands) {
        const std::string_view name = command->name;
        const size_t space = name.find(' ');
        verbs.emplace_back(name.substr(0, space));
        if (space != std::string_view::npos && verbs.back() == words[0]) {
            nouns.emplace_back(name.substr(space + 1));
        }
    }
    const std::string two_words = words.size() > 1 ? concat(words[0], " ", words[1]) : "";
    for (const size_t count : {size_t(2), size_t(1)}) {
        for (const Command* command : commands) {
            if (command->name != (count == 2 ? std::string_view(two_words) : words[0])) continue;
            consumed = count;
            return *command;
        }
    }
    if (nouns.empty()) {
        throw Error(Error::Kind::usage,
                    concat("unknown verb '", words[0], "'", did_you_mean(words[0], verbs),
                           " (see hadal --help)"));
    }
    std::string list;
    for (const std::string& noun : nouns) list += (list.empty() ? "" : ", ") + noun;
    const std::string given = words.size() > 1 ? concat(", not '", words[1], "'") : "";
    throw Error(Error::Kind::usage, concat("'", words[0], "' wants one of ", list, given,
                                           words.size() > 1 ? did_you_mean(words[1], nouns) : "",
                                           " (see hadal ", words[0], " ", nouns[0], " --help)"));
}

}  // namespace hadal::cli
