#include "plan/inputs.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "core/error.h"
#include "core/nearest_name.h"

namespace hadal::plan {

namespace {

using enum Origin::Kind;

std::vector<std::string> key_names() {
    Inputs none;
    std::vector<std::string> names;
    for (const InputKey& key : input_keys(none)) names.push_back(key.name);
    return names;
}

std::string last_part(const std::string& name) {
    return name.substr(name.rfind('.') + 1);
}

[[noreturn]] void reject(std::string_view where, const std::string& message) {
    throw Error(Error::Kind::bad_input, concat(where, ": ", message));
}

double parse_number(const InputKey& key, std::string_view text, std::string_view where) {
    double value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (error != std::errc() || end != text.data() + text.size() || !std::isfinite(value)) {
        reject(where, concat(key.name, " wants a number, got '", text, "' (", key.help, ")"));
    }
    if (value < key.minimum || value > key.maximum) {
        reject(where, concat(key.name, " must be between ", key.minimum, " and ", key.maximum,
                             ", got ", text, " (", key.help, ")"));
    }
    return value;
}

void store(const InputKey& key, std::string_view text, std::string_view where, double& target) {
    target = parse_number(key, text, where);
}

void store(const InputKey& key, std::string_view text, std::string_view where, int64_t& target) {
    const double value = parse_number(key, text, where);
    if (value != std::floor(value)) {
        reject(where, concat(key.name, " wants a whole number, got '", text, "' (", key.help, ")"));
    }
    target = int64_t(value);
}

void store(const InputKey& key, std::string_view text, std::string_view where,
           std::string& target) {
    if (!key.choices.empty() && std::ranges::find(key.choices, text) == key.choices.end()) {
        const std::vector<std::string> known(key.choices.begin(), key.choices.end());
        std::string list;
        for (const std::string& choice : known) list += (list.empty() ? "" : ", ") + choice;
        reject(where,
               concat(key.name, " = '", text, "' is not one of ", list, did_you_mean(text, known)));
    }
    target = text;
}

}  // namespace

std::string_view name(Origin::Kind kind) {
    switch (kind) {
        case source:
            return "source";
        case calibrated:
            return "calibrated";
        case assumed:
            return "assumed";
        case given:
            return "given";
    }
    return "";
}

const Origin& origin_of(const Inputs& inputs, const InputKey& key) {
    const auto found = inputs.origins.find(key.name);
    return found == inputs.origins.end() ? key.fallback : found->second;
}

std::string full_input_name(std::string_view name, std::string_view where) {
    const std::vector<std::string> names = key_names();
    if (std::ranges::find(names, name) != names.end()) return std::string(name);
    std::vector<std::string> matches, endings;
    for (const std::string& full : names) {
        endings.push_back(last_part(full));
        if (endings.back() == name) matches.push_back(full);
    }
    if (matches.size() == 1) return matches.front();
    // Training's layout is what most questions are about: its keys keep their short names.
    const std::string of_layout = concat("layout.", name);
    if (std::ranges::find(matches, of_layout) != matches.end()) return of_layout;
    if (matches.size() > 1) {
        std::string list;
        for (const std::string& match : matches) list += (list.empty() ? "" : " or ") + match;
        reject(where, concat("'", name, "' could be ", list, " (give the whole name)"));
    }
    const bool whole = name.find('.') != std::string_view::npos;
    reject(where, concat("unknown input '", name, "'", did_you_mean(name, whole ? names : endings),
                         " (plan's --list-inputs shows all)"));
}

void set_input(Inputs& inputs, std::string_view name, std::string_view text, const Origin& origin,
               std::string_view where) {
    const std::string full = full_input_name(name, where);
    const std::vector<InputKey> keys = input_keys(inputs);
    const InputKey& key = *std::ranges::find(keys, full, &InputKey::name);
    std::visit([&](auto* target) { store(key, text, where, *target); }, key.target);
    inputs.origins[full] = origin;
}

void check_complete(const Inputs& inputs) {
    Inputs copy = inputs;
    for (const InputKey& key : input_keys(copy)) {
        const auto* number = std::get_if<double*>(&key.target);
        if (number == nullptr || !std::isnan(**number)) continue;
        reject(inputs.cluster, concat(key.name, " is missing: ", key.help,
                                      " (set it, or name a cluster to start from: base = "
                                      "\"h100\")"));
    }
}

}  // namespace hadal::plan
