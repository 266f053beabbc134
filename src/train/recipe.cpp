#include "train/recipe.h"

#include <toml++/toml.h>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "core/file_map.h"
#include "core/nearest_name.h"
#include "train/recipe_keys.h"

namespace hadal::train {

namespace {

[[noreturn]] void reject(std::string_view where, const std::string& message) {
    throw Error(Error::Kind::bad_input, concat(where, ": ", message));
}

std::string type_name(const toml::node& node) {
    if (node.is_string()) return "a text";
    if (node.is_integer()) return "a whole number";
    if (node.is_floating_point()) return "a number";
    if (node.is_boolean()) return "true or false";
    if (node.is_array()) return "a list";
    if (node.is_table()) return "a section";
    return "a date";
}

/// Stores checked values into the places that the table of keys names.
class Setter {
  public:
    Setter(const RecipeKey& key, std::string_view where) : key_(key), where_(where) {}

    void set(const toml::node& node) const {
        std::visit([&](auto* target) { store(node, *target); }, key_.target);
    }

  private:
    [[noreturn]] void wrong_type(const toml::node& node, std::string_view wanted) const {
        reject(where_, concat(key_.name, " wants ", wanted, ", got ", type_name(node), " (",
                              key_.help, ")"));
    }
    void check_range(double value) const {
        if (std::isfinite(value) && value >= key_.minimum && value <= key_.maximum) return;
        reject(where_, concat(key_.name, " must be between ", key_.minimum, " and ", key_.maximum,
                              ", got ", value, " (", key_.help, ")"));
    }
    void store(const toml::node& node, int64_t& target) const {
        if (!node.is_integer()) wrong_type(node, "a whole number");
        check_range(double(node.value_or(int64_t{0})));
        target = node.value_or(int64_t{0});
    }
    void store(const toml::node& node, double& target) const {
        if (!node.is_number()) wrong_type(node, "a number");
        check_range(node.value_or(0.0));
        target = node.value_or(0.0);
    }
    void store(const toml::node& node, bool& target) const {
        if (!node.is_boolean()) wrong_type(node, "true or false");
        target = node.value_or(false);
    }
    void store(const toml::node& node, std::string& target) const {
        std::string text;
        if (key_.is_position && node.is_integer()) {
            text = std::to_string(node.value_or(int64_t{0}));
        } else if (node.is_string()) {
            text = node.value_or(std::string());
        } else {
            wrong_type(node, key_.is_position ? "a position such as \"60%\" or \"10B\"" : "a text");
        }
        if (ParsedPosition position; key_.is_position && !parse_position(text, position)) {
            reject(where_,
                   concat(key_.name, " = '", text,
                          "' is neither a share nor a number of tokens (such as 60% or 10B)"));
        }
        const auto& choices = key_.choices;
        if (!choices.empty() && std::ranges::find(choices, text) == choices.end()) {
            std::string list;
            for (const std::string_view choice : choices)
                list += (list.empty() ? "" : ", ") + std::string(choice);
            reject(where_, concat(key_.name, " = '", text, "' is not one of ", list));
        }
        target = text;
    }
    template <class T>
    void store(const toml::node& node, std::vector<T>& target) const {
        if (!node.is_array()) wrong_type(node, "a list");
        target.clear();
        for (const toml::node& item : *node.as_array()) store(item, target.emplace_back());
    }

    const RecipeKey& key_;
    std::string where_;
};

nlohmann::json to_json(const toml::node& node, const std::string& where) {
    if (const auto* table = node.as_table()) {
        nlohmann::json object = nlohmann::json::object();
        for (const auto& [name, value] : *table)
            object[std::string(name.str())] = to_json(value, where);
        return object;
    }
    if (const auto* array = node.as_array()) {
        nlohmann::json list = nlohmann::json::array();
        for (const toml::node& item : *array) list.push_back(to_json(item, where));
        return list;
    }
    if (node.is_string()) return node.value_or(std::string());
    if (node.is_integer()) return node.value_or(int64_t{0});
    if (node.is_floating_point()) return node.value_or(0.0);
    if (node.is_boolean()) return node.value_or(false);
    reject(where, "a date is no value of a model's configuration");
}

/// Keys of [model]: those that any config.json of ours may have.
std::vector<std::string> model_keys() {
    std::set<std::string> names = {"preset", "init_from", "rope_scaling"};
    for (const std::string& preset : model::preset_names()) {
        const auto json = nlohmann::json::parse(model::config_text(model::preset(preset)));
        for (const auto& item : json.items()) names.insert(item.key());
    }
    return {names.begin(), names.end()};
}

std::string text_value(const toml::table& table, const std::string& key, const std::string& where) {
    const toml::node* node = table.get(key);
    if (node == nullptr) return "";
    if (!node->is_string())
        reject(where, concat("model.", key, " wants a text, got ", type_name(*node)));
    return node->value_or(std::string());
}

/// The configuration: a preset's, or that of a model directory, or none; overlaid with the other
/// keys.
void read_model(const toml::table& table, const std::string& where, Recipe& recipe) {
    const std::vector<std::string> known = model_keys();
    for (const auto& [name, value] : table) {
        const std::string key(name.str());
        if (std::ranges::find(known, key) == known.end()) {
            reject(where, concat("unknown key 'model.", key, "'", did_you_mean(key, known)));
        }
    }
    const std::string preset = text_value(table, "preset", where);
    recipe.init_from = text_value(table, "init_from", where);
    if (!preset.empty() && !recipe.init_from.empty()) {
        reject(where,
               "model.preset and model.init_from exclude each other (the directory has its own "
               "config.json)");
    }
    nlohmann::json config = {{"model_type", "deepseek_v3"}};
    if (!preset.empty()) config = nlohmann::json::parse(model::config_text(model::preset(preset)));
    if (!recipe.init_from.empty()) {
        config = nlohmann::json::parse(model::config_text(model::read_config(recipe.init_from)));
    }
    for (const auto& [name, value] : table) {
        const std::string key(name.str());
        if (key == "preset" || key == "init_from") continue;
        config[key] = to_json(value, where);
        // TOML has no null: this is how a recipe takes a preset's scaling away.
        if (key == "rope_scaling" && config[key] == false) config[key] = nullptr;
    }
    recipe.model = model::parse_config(config.dump(), concat(where, ": [model]"));
    // Training computes in one type and writes it; quantising is a step of its own.
    recipe.model.block_fp8 = false;
    recipe.model.packed_weights = false;
    recipe.model.dtype = recipe.dtype();
}

/// "recipes/x.toml line 12"
std::string place(std::string_view where, const toml::node& node) {
    const auto line = node.source().begin.line;
    return line == 0 ? std::string(where) : concat(where, " line ", line);
}

void read_section(const std::string& section, const toml::table& table, std::string_view where,
                  const std::vector<RecipeKey>& keys) {
    std::vector<std::string> names;
    for (const RecipeKey& key : keys) {
        if (key.name.starts_with(section + ".")) names.push_back(key.name);
    }
    for (const auto& [name, value] : table) {
        const std::string full = concat(section, ".", name.str());
        const auto key = std::ranges::find(keys, full, &RecipeKey::name);
        if (key == keys.end()) {
            reject(place(where, value),
                   concat("unknown key '", full, "'", did_you_mean(full, names)));
        }
        Setter(*key, place(where, value)).set(value);
    }
}

void read_table(const toml::table& root, std::string_view where, Recipe& recipe) {
    const std::vector<RecipeKey> keys = recipe_keys(recipe);
    std::vector<std::string> sections = {"model"};
    for (const RecipeKey& key : keys) {
        const std::string section = key.name.substr(0, key.name.find('.'));
        if (sections.back() != section) sections.push_back(section);
    }
    for (const auto& [name, value] : root) {
        const std::string section(name.str());
        if (std::ranges::find(sections, section) == sections.end()) {
            reject(place(where, value),
                   concat("unknown section '", section, "'", did_you_mean(section, sections)));
        }
        if (!value.is_table()) {
            reject(place(where, value), concat("'", section, "' is a section, got ",
                                               type_name(value), " (write [", section, "])"));
        }
        if (section == "model") continue;
        read_section(section, *value.as_table(), where, keys);
    }
    const toml::node* model = root.get("model");
    if (model == nullptr)
        reject(where, "section [model] is missing (give preset, init_from or config.json's keys)");
    read_model(*model->as_table(), std::string(where), recipe);
}

/// Puts "a.b=c" into the tree. What is no TOML value is a text.
void apply_set(const std::string& set, toml::table& root) {
    const size_t equals = set.find('=');
    const size_t dot = set.find('.');
    if (equals == std::string::npos || dot == std::string::npos || dot > equals) {
        throw Error(Error::Kind::usage,
                    concat("--set ", set, ": not of the form section.key=value"));
    }
    const std::string section = set.substr(0, dot), key = set.substr(dot + 1, equals - dot - 1);
    const std::string value = set.substr(equals + 1);
    toml::table parsed;
    try {
        parsed = toml::parse(concat("x = ", value));
        if (parsed.size() != 1) parsed.clear();
    } catch (const toml::parse_error&) {
        parsed.clear();
    }
    if (parsed.empty()) parsed.insert_or_assign("x", value);
    if (!root.contains(section)) root.insert_or_assign(section, toml::table());
    toml::table* table = root.get(section)->as_table();
    if (table == nullptr)
        throw Error(Error::Kind::usage, concat("--set ", set, ": '", section, "' is no section"));
    table->insert_or_assign(key, *parsed.get("x"));
}

void check_positions(const Recipe& r, std::string_view where) {
    const auto ordered = [&](const Position& before, const Position& after, const char* names) {
        if (r.tokens_at(before) > r.tokens_at(after)) {
            reject(where, concat("learning_rate: ", names, " must not lie before one another, got ",
                                 before, " and ", after));
        }
    };
    ordered(r.learning_rate.constant_until, r.learning_rate.cosine_until,
            "constant_until and cosine_until");
    ordered(r.learning_rate.cosine_until, r.learning_rate.last_from, "cosine_until and last_from");
}

/// A bf16 mean that a zero leaves where it was would never fade: β·x must round to another value
/// than x for every x. The largest relative half step of bf16 is 2⁻⁸/(1 + 2⁻⁷).
void check_moments(const Recipe& r, std::string_view where) {
    constexpr double kLargest = 1 - 0x1p-8;
    const bool fades = r.optimizer.beta1 <= kLargest && r.optimizer.beta2 <= kLargest;
    if (r.optimizer.moments != "bf16" || fades) return;
    reject(where, concat("optimizer.moments = 'bf16' cannot follow beta1 = ", r.optimizer.beta1,
                         ", beta2 = ", r.optimizer.beta2, " (both must be at most ", kLargest,
                         ", or take moments = 'f32')"));
}

/// What no single key shows.
void check_whole(const Recipe& r, std::string_view where) {
    if ((r.run.steps > 0) == (r.run.tokens > 0)) {
        reject(where, "give either run.steps or run.tokens, and not both");
    }
    if (r.run.out.empty()) reject(where, "run.out is missing (the directory to write to)");
    const int kinds = int(!r.data.corpus.empty()) + int(!r.data.train.empty()) + int(r.data.random);
    if (kinds == 0)
        reject(where, "[data] says nothing to train on (give corpus, see hadal data pack --help)");
    if (kinds > 1) reject(where, "data.corpus, data.train and data.random exclude each other");
    if (!r.data.weights.empty() && r.data.weights.size() != r.data.train.size()) {
        reject(where, concat("data.weights has ", r.data.weights.size(), " values for the ",
                             r.data.train.size(), " paths of data.train"));
    }
    if (r.batch.sequences % r.batch.micro_batch != 0) {
        reject(where, concat("batch.micro_batch = ", r.batch.micro_batch,
                             " does not divide batch.sequences = ", r.batch.sequences));
    }
    if (r.batch.ramp_from > r.batch.sequences) {
        reject(where, concat("batch.ramp_from = ", r.batch.ramp_from,
                             " is above batch.sequences = ", r.batch.sequences));
    }
    if (r.fp8.linear == "fp8" && r.dtype() != DType::bf16) {
        reject(where, concat("precision.linear = fp8 needs run.dtype = bf16, got ", r.run.dtype));
    }
    if (r.data.seq_len > r.model.max_position_embeddings) {
        reject(where, concat("data.seq_len = ", r.data.seq_len,
                             " is above model.max_position_embeddings = ",
                             r.model.max_position_embeddings));
    }
    // 2^40 tokens in one step, or 2^62 in a run, are a slip of the finger.
    if (double(r.batch.sequences) * double(r.data.seq_len) > 0x1p40 ||
        double(r.run.steps) * double(r.batch.sequences) * double(r.data.seq_len) > 0x1p62) {
        reject(where, "run.steps × batch.sequences × data.seq_len is beyond any run");
    }
    check_positions(r, where);
    check_moments(r, where);
}

std::string toml_text(const std::string& text) {
    return nlohmann::json(text).dump();  // basic strings of TOML are JSON's
}

std::string toml_text(double value) {
    char text[40];
    for (int digits = 6; digits <= 17; ++digits) {
        std::snprintf(text, sizeof text, "%.*g", digits, value);
        if (std::strtod(text, nullptr) == value) break;
    }
    const std::string result = text;
    return result.find_first_of(".en") == std::string::npos ? result + ".0" : result;
}

std::string toml_text(int64_t value) {
    return std::to_string(value);
}

std::string toml_text(bool value) {
    return value ? "true" : "false";
}

template <class T>
std::string toml_text(const std::vector<T>& values) {
    std::string text;
    for (const T& value : values) text += (text.empty() ? "" : ", ") + toml_text(value);
    return concat("[", text, "]");
}

std::string value_text(const RecipeKey& key) {
    return std::visit([](const auto* target) { return toml_text(*target); }, key.target);
}

std::string toml_of(const nlohmann::json& value) {
    if (value.is_boolean()) return toml_text(value.get<bool>());
    if (value.is_number_integer()) return toml_text(value.get<int64_t>());
    if (value.is_number_float()) return toml_text(value.get<double>());
    if (value.is_string()) return toml_text(value.get<std::string>());
    std::string text;
    const bool is_list = value.is_array();
    for (const auto& item : value.items()) {
        if (!text.empty()) text += ", ";
        text += is_list ? toml_of(item.value()) : concat(item.key(), " = ", toml_of(item.value()));
    }
    return is_list ? concat("[", text, "]") : concat("{", text, "}");
}

std::string model_text(const Recipe& recipe) {
    std::string text = "[model]\n";
    if (!recipe.init_from.empty())
        text += concat("init_from = ", toml_text(recipe.init_from), "\n");
    const auto config = nlohmann::ordered_json::parse(model::config_text(recipe.model));
    for (const auto& item : config.items()) {
        if (!item.value().is_null())
            text += concat(item.key(), " = ", toml_of(nlohmann::json(item.value())), "\n");
    }
    return text;
}

}  // namespace

Recipe parse_recipe(std::string_view text, std::string_view where,
                    std::span<const std::string> sets) {
    toml::table root;
    try {
        root = toml::parse(text);
    } catch (const toml::parse_error& error) {
        reject(concat(where, " line ", error.source().begin.line),
               concat("not TOML: ", error.description()));
    }
    for (const std::string& set : sets) apply_set(set, root);
    Recipe recipe;
    read_table(root, where, recipe);
    check_whole(recipe, where);
    return recipe;
}

Recipe read_recipe(const std::filesystem::path& path, std::span<const std::string> sets) {
    return parse_recipe(read_file(path), path.string(), sets);
}

std::string recipe_text(const Recipe& recipe) {
    Recipe copy = recipe;  // the table points into it
    std::string text = "# The resolved recipe of this run: every key with its value.\n";
    std::string section;
    for (const RecipeKey& key : recipe_keys(copy)) {
        const size_t dot = key.name.find('.');
        if (key.name.substr(0, dot) != section) {
            section = key.name.substr(0, dot);
            text += concat("\n[", section, "]\n");
        }
        text += concat(key.name.substr(dot + 1), " = ", value_text(key), "  # ", key.unit, ": ",
                       key.help, "\n");
    }
    return text + "\n" + model_text(recipe);
}

std::string RecipeDifference::text() const {
    return concat(key, " is ", now, ", was ", before);
}

std::vector<RecipeDifference> differences(const Recipe& now, const Recipe& before) {
    Recipe a = now, b = before;
    const std::vector<RecipeKey> keys_now = recipe_keys(a), keys_before = recipe_keys(b);
    std::vector<RecipeDifference> found;
    for (size_t i = 0; i < keys_now.size(); ++i) {
        RecipeDifference key{.key = keys_now[i].name,
                             .now = value_text(keys_now[i]),
                             .before = value_text(keys_before[i]),
                             .on_request = keys_now[i].change_on_request};
        if (!keys_now[i].may_change && key.now != key.before) found.push_back(std::move(key));
    }
    const auto config_now = nlohmann::json::parse(model::config_text(now.model));
    const auto config_before = nlohmann::json::parse(model::config_text(before.model));
    auto names = config_now;
    names.update(config_before);
    for (const auto& item : names.items()) {
        const auto text = [&](const nlohmann::json& config) {
            return config.contains(item.key()) ? config[item.key()].dump() : "absent";
        };
        if (text(config_now) == text(config_before)) continue;
        found.push_back(
            {.key = "model." + item.key(), .now = text(config_now), .before = text(config_before)});
    }
    return found;
}

namespace {

formats::Tiling tiling_named(std::string_view text) {
    if (text == "1x128") return formats::kRowTiles;
    if (text == "128x128") return formats::kBlockTiles;
    if (text == "1x32") return formats::kMicroscaling;
    return formats::kWholeTensor;
}

}  // namespace

model::Precision Recipe::precision() const {
    if (fp8.linear != "fp8") return {dtype(), memory.recompute};
    model::Fp8Recipe formats;
    formats.activation.tiling = tiling_named(fp8.activations);
    formats.weight.tiling = tiling_named(fp8.weights);
    formats.gradient.tiling = tiling_named(fp8.gradients);
    if (fp8.gradient_format == "e5m2") formats.gradient.codes = DType::f8_e5m2;
    return model::Precision(formats);
}

int64_t Recipe::total_tokens() const {
    return run.tokens > 0 ? run.tokens : run.steps * batch.sequences * data.seq_len;
}

int64_t Recipe::tokens_at(const Position& position) const {
    ParsedPosition parsed;
    HADAL_ASSERT(parse_position(position, parsed));
    return int64_t(parsed.share >= 0 ? parsed.share * double(total_tokens()) : parsed.tokens);
}

optim::AdamwSettings Recipe::adamw() const {
    return {.beta1 = optimizer.beta1,
            .beta2 = optimizer.beta2,
            .epsilon = optimizer.epsilon,
            .weight_decay = optimizer.weight_decay,
            .moments = optimizer.moments == "bf16" ? DType::bf16 : DType::f32};
}

optim::GuardSettings Recipe::guard_settings() const {
    return {.clip_norm = optimizer.clip_norm,
            .max_skipped_run = guard.max_skipped_run,
            .spikes = {.window = guard.window, .threshold = guard.threshold},
            .skip_spikes = guard.skip_spikes};
}

optim::LearningRateSchedule Recipe::learning_rate_schedule() const {
    return {.peak = learning_rate.peak,
            .warmup_steps = learning_rate.warmup_steps,
            .constant_until = tokens_at(learning_rate.constant_until),
            .cosine_until = tokens_at(learning_rate.cosine_until),
            .low = learning_rate.low,
            .last_from = tokens_at(learning_rate.last_from),
            .last = learning_rate.last};
}

optim::BatchSizeSchedule Recipe::batch_schedule() const {
    return {.first = batch.ramp_from,
            .sequences = batch.sequences,
            .ramp_tokens = tokens_at(batch.ramp_until),
            .multiple = batch.micro_batch};
}

}  // namespace hadal::train
