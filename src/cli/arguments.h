// Parsing of the command line, by hand and not by CLI11: help that opens with an example, one-line
// errors that name the nearest known option, and verbs of two words would each have meant replacing
// a part of that library.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "cli/command.h"
#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::cli {

/// Options that every verb has.
struct Globals {
    bool json = false;
    bool help = false;
    int threads = 0;  // 0: the processors this process may use
    Isa isa = best_isa();
    std::optional<uint64_t> seed;
    std::optional<DType> dtype;  // bf16 or f32, where a verb computes
    /// Where integer weights lie, what multiplies them.
    bool int8_activations = true;
    std::string log_level = "info";

    bool shows_progress() const {
        return log_level != "error";
    }
};

class Arguments {
  public:
    /// Parses what follows the verb. `isa_environment` is HADAL_ISA, "" if unset; --isa goes before
    /// it. Error(usage) names the word, what was expected, and the nearest known option.
    Arguments(const Command& command, std::span<const std::string> words,
              std::string_view isa_environment);

    const Globals& globals() const {
        return globals_;
    }
    uint64_t seed() const {
        return globals_.seed.value_or(0);
    }

    /// Whether `name` was given or has a fallback. A name that the command does not declare is our
    /// own mistake, here and below.
    bool has(std::string_view name) const;
    bool flag(std::string_view name) const {
        return has(name);
    }
    /// Error(usage) if absent, here and below.
    const std::string& text(std::string_view name) const;
    std::filesystem::path path(std::string_view name) const {
        return text(name);
    }
    /// The same words but for one option, whose value is `value`.
    Arguments with(std::string_view name, const std::string& value) const;
    /// Every value of a repeated option.
    std::vector<std::string> texts(std::string_view name) const;
    /// A whole number in [minimum, maximum].
    int64_t integer(std::string_view name, int64_t minimum = INT64_MIN,
                    int64_t maximum = INT64_MAX) const;
    /// "1,8,32"
    std::vector<int64_t> integers(std::string_view name, int64_t minimum = INT64_MIN) const;
    /// A finite number in [minimum, maximum].
    double number(std::string_view name, double minimum = -1e300, double maximum = 1e300) const;

  private:
    const Option& declared(std::string_view name) const;
    void parse(std::span<const std::string> words);
    size_t parse_option(std::span<const std::string> words, size_t index);
    void parse_positional(const std::string& word, size_t& next);
    void set_global(std::string_view name, const std::string& value);
    void store(const Option& option, const std::string& value);
    void finish();

    const Command& command_;
    Globals globals_;
    std::map<std::string, std::vector<std::string>, std::less<>> values_;
};

/// The options of Globals, for the help text.
std::span<const Option> global_options();

/// `hadal VERB --help`: the example first.
std::string help_text(const Command& command);
/// `hadal --help`: the verbs by the life of a model.
std::string help_text(std::span<const Command* const> commands);

/// Finds the command that `words` begin with and counts its words into `consumed`. Error(usage)
/// names the nearest.
const Command& find_command(std::span<const Command* const> commands,
                            std::span<const std::string> words, size_t& consumed);

}  // namespace hadal::cli
