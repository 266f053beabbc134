#include "plan/presets.h"

#include <toml++/toml.h>
#include <algorithm>
#include <charconv>
#include <filesystem>

#include "core/error.h"
#include "core/file_map.h"
#include "core/nearest_name.h"
#include "plan/embedded_presets.h"

namespace hadal::plan {

namespace {

[[noreturn]] void reject(std::string_view where, const std::string& message) {
    throw Error(Error::Kind::bad_input, concat(where, ": ", message));
}

/// "my.toml line 12"
std::string place(const std::string& where, const toml::node& node) {
    return concat(where, " line ", node.source().begin.line);
}

/// As a user would type it.
std::string text_of(const toml::node& node, const std::string& where) {
    if (node.is_string()) return node.value_or(std::string());
    if (node.is_integer()) return std::to_string(node.value_or(int64_t{0}));
    if (!node.is_floating_point()) reject(where, "wants a number or a text");
    char text[32];
    const auto end = std::to_chars(text, text + sizeof text, node.value_or(0.0)).ptr;
    return {text, end};
}

/// A value alone, or { value = …, source | calibrated | assumed = "…" }.
void set_from_node(Inputs& inputs, const std::string& key, const toml::node& node,
                   const std::string& where) {
    const toml::table* table = node.as_table();
    if (table == nullptr) {
        set_input(inputs, key, text_of(node, where), {Origin::Kind::given, where}, where);
        return;
    }
    const toml::node* value = table->get("value");
    if (value == nullptr || table->size() != 2) {
        reject(where, concat(key,
                             " wants { value = …, source = \"…\" } (or calibrated, or "
                             "assumed, in place of source)"));
    }
    for (const auto kind :
         {Origin::Kind::source, Origin::Kind::calibrated, Origin::Kind::assumed}) {
        const toml::node* origin = table->get(name(kind));
        if (origin == nullptr) continue;
        if (!origin->is_string()) reject(where, concat(key, ".", name(kind), " wants a text"));
        set_input(inputs, key, text_of(*value, where), {kind, origin->value_or(std::string())},
                  where);
        return;
    }
    reject(where, concat(key, " needs its source, calibrated or assumed"));
}

void read_section(Inputs& inputs, const std::string& section, const toml::table& table,
                  const std::string& where) {
    for (const auto& [name, node] : table) {
        const std::string key = concat(section, ".", name.str());
        set_from_node(inputs, full_input_name(key, place(where, node)), node, place(where, node));
    }
}

const EmbeddedPreset* find_embedded(PresetKind kind, std::string_view name) {
    for (const EmbeddedPreset& preset : kEmbeddedPresets) {
        if (preset.kind == kind && preset.name == name) return &preset;
    }
    return nullptr;
}

void read_root(Inputs& inputs, PresetKind kind, const toml::table& root, const std::string& where) {
    if (const toml::node* base = root.get("base")) {
        const std::string name = text_of(*base, place(where, *base));
        // Files do not build on files: no chain to follow, no circle.
        if (find_embedded(PresetKind::cluster, name) == nullptr) {
            reject(place(where, *base),
                   concat("base '", name, "' is no cluster that hadal knows",
                          did_you_mean(name, preset_names(PresetKind::cluster))));
        }
        apply_preset(inputs, PresetKind::cluster, name);
    }
    for (const auto& [name, node] : root) {
        const std::string key(name.str());
        if (key == "base" || key == "about") continue;
        if (key == "model" && kind == PresetKind::scenario) {
            inputs.model = text_of(node, place(where, node));
        } else if (const toml::table* section = node.as_table()) {
            read_section(inputs, key, *section, where);
        } else {
            reject(place(where, node),
                   concat("unknown key '", key, "' (a section such as [gpu], or base",
                          kind == PresetKind::scenario ? ", model" : "", ", about)"));
        }
    }
}

}  // namespace

std::vector<std::string> preset_names(PresetKind kind) {
    std::vector<std::string> names;
    for (const EmbeddedPreset& preset : kEmbeddedPresets) {
        if (preset.kind == kind) names.emplace_back(preset.name);
    }
    return names;
}

void apply_preset_text(Inputs& inputs, PresetKind kind, std::string_view text,
                       const std::string& where) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        reject(concat(where, " line ", error.source().begin.line),
               std::string(error.description()));
    }
    read_root(inputs, kind, root, where);
}

void apply_preset(Inputs& inputs, PresetKind kind, const std::string& name) {
    const char* what = kind == PresetKind::cluster ? "cluster" : "scenario";
    if (const EmbeddedPreset* preset = find_embedded(kind, name)) {
        apply_preset_text(inputs, kind, preset->text, concat(what, " ", name));
    } else if (name.ends_with(".toml") && std::filesystem::is_regular_file(name)) {
        apply_preset_text(inputs, kind, read_file(name), name);
    } else {
        const std::vector<std::string> known = preset_names(kind);
        std::string list;
        for (const std::string& one : known) list += (list.empty() ? "" : ", ") + one;
        throw Error(Error::Kind::usage,
                    concat("unknown ", what, " '", name, "'", did_you_mean(name, known),
                           " (one of ", list, ", or a TOML file)"));
    }
    if (kind == PresetKind::cluster) {
        inputs.cluster = name;  // not its base's
    } else {
        inputs.scenarios.push_back(name);
    }
}

}  // namespace hadal::plan
