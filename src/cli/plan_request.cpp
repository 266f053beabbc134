#include "cli/plan_request.h"

#include <algorithm>
#include <filesystem>
#include <span>

#include "cli/file_argument.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/nearest_name.h"
#include "plan/presets.h"

namespace hadal::cli {

namespace {

namespace fs = std::filesystem;

/// Options that are short for --set.
struct ShortForm {
    std::string_view option, key;
};
constexpr ShortForm kShortForms[] = {
    {"--gpus", "layout.gpus"},
    {"--pp", "layout.pp"},
    {"--ep", "layout.ep"},
    {"--tp", "layout.tp"},
    {"--zero", "layout.zero"},
    {"--batch", "layout.batch"},
    {"--schedule", "layout.schedule"},
    {"--precision", "layout.precision"},
    {"--recompute", "layout.recompute"},
    {"--tokens", "run.tokens"},
};

constexpr std::string_view kDefaultModel = "v3-671b", kDefaultCluster = "h800-2048";

struct Request {
    plan::Inputs inputs;
    model::ModelConfig config;
};

std::pair<std::string, std::string> split_setting(const std::string& text) {
    const size_t equal = text.find('=');
    if (equal == std::string::npos || equal == 0) {
        throw Error(Error::Kind::usage,
                    concat("--set wants KEY=VALUE such as layout.pp=8, got '", text, "'"));
    }
    return {text.substr(0, equal), text.substr(equal + 1)};
}

/// A known shape, a config.json, or a model directory.
model::ModelConfig model_of(const std::string& name) {
    const std::vector<std::string> presets = model::preset_names();
    if (std::ranges::find(presets, name) != presets.end()) return model::preset(name);
    if (fs::is_directory(name)) return model::read_config(name);
    if (fs::is_regular_file(name)) return model::parse_config(read_file(name), name);
    std::string list;
    for (const std::string& preset : presets) list += (list.empty() ? "" : ", ") + preset;
    throw Error(Error::Kind::usage,
                concat("unknown model '", name, "'", did_you_mean(name, presets), " (one of ", list,
                       ", a config.json, or a model directory)"));
}

/// `sweep_key` and `sweep_value` take the place of what the command line says of that key.
Request make_request(const Arguments& arguments, const std::string& sweep_key = "",
                     const std::string& sweep_value = "") {
    const auto text = [&](const std::string& key, std::string_view name,
                          std::string_view fallback) {
        if (sweep_key == key) return sweep_value;
        return arguments.has(name) ? arguments.text(name) : std::string(fallback);
    };
    Request request;
    plan::Inputs& inputs = request.inputs;
    const std::string cluster = text("cluster", "--cluster", kDefaultCluster);
    plan::apply_preset(inputs, plan::PresetKind::cluster, cluster);
    inputs.model = kDefaultModel;
    std::vector<std::string> scenarios = arguments.texts("--scenario");
    if (sweep_key == "scenario") scenarios.push_back(sweep_value);
    for (const std::string& scenario : scenarios)
        plan::apply_preset(inputs, plan::PresetKind::scenario, scenario);
    if (inputs.cluster != cluster && (arguments.has("--cluster") || sweep_key == "cluster")) {
        throw Error(Error::Kind::usage,
                    concat("a scenario brings its own cluster, ", inputs.cluster,
                           ", and --cluster "
                           "asks for ",
                           cluster, " (leave one of them out)"));
    }
    inputs.model = text("model", "MODEL", inputs.model);
    const auto set = [&](const std::string& key, const std::string& value, std::string_view where) {
        plan::set_input(inputs, key, value, {plan::Origin::Kind::given, "command line"}, where);
    };
    for (const ShortForm& form : kShortForms) {
        if (arguments.has(form.option))
            set(std::string(form.key), arguments.text(form.option), form.option);
    }
    for (const std::string& setting : arguments.texts("--set")) {
        const auto [key, value] = split_setting(setting);
        set(key, value, "--set");
    }
    const bool whole = sweep_key == "cluster" || sweep_key == "scenario" || sweep_key == "model";
    if (!sweep_key.empty() && !whole) set(sweep_key, sweep_value, "--sweep");
    plan::check_complete(inputs);
    request.config = model_of(inputs.model);
    return request;
}

Record record_of(const plan::Table& table, const std::vector<plan::Cell>& row) {
    Record record;
    for (size_t i = 0; i < row.size(); ++i) {
        const std::string& key = table.columns[i].key;
        if (const auto* text = std::get_if<std::string>(&row[i])) {
            record.add(key, *text);
        } else {
            record.add(key, std::get<double>(row[i]));
        }
    }
    return record;
}

void add_table(const plan::Table& table, Report& report) {
    for (const auto& row : table.rows) report.add_row(table.key, record_of(table, row));
}

bool belongs(const std::string& key, std::span<const std::string_view> groups) {
    return std::ranges::any_of(groups,
                               [&](std::string_view group) { return key.starts_with(group); });
}

void add_inputs(const plan::Inputs& inputs, std::span<const std::string_view> groups,
                Report& report) {
    plan::Inputs copy = inputs;
    for (const plan::InputKey& key : plan::input_keys(copy)) {
        if (!belongs(key.name, groups)) continue;
        const plan::Origin& origin = plan::origin_of(inputs, key);
        report.add_row("inputs", Record()
                                     .add("key", key.name)
                                     .add("value", plan::input_text(key))
                                     .add("unit", key.unit)
                                     .add("kind", plan::name(origin.kind))
                                     .add("source", origin.text));
    }
}

/// Every figure by its key, and once more in a table with its unit and its mark.
void add_answer(const plan::Answer& answer, Report& report) {
    report.add("title", answer.title);
    for (const plan::Section& section : answer.sections) {
        for (const plan::Figure& figure : section.figures) report.add(figure.key, figure.value);
    }
    for (const plan::Section& section : answer.sections) {
        for (const plan::Figure& figure : section.figures) {
            Record record;
            record.add("key", figure.key).add("label", figure.label).add("value", figure.value);
            record.add("unit", figure.unit).add("mark", plan::name(figure.mark));
            record.add("note", figure.note);
            if (figure.published) {
                record.add("published", figure.published->value)
                    .add("source", figure.published->source);
            }
            report.add_row("figures", std::move(record));
        }
        for (const plan::Table& table : section.tables) add_table(table, report);
    }
}

void report_answer(const plan::Answer& answer, const plan::Inputs& inputs,
                   std::span<const std::string_view> groups, Report& report) {
    if (report.json()) {
        add_answer(answer, report);
        add_inputs(inputs, groups, report);
        return;
    }
    const std::vector<std::string> names(groups.begin(), groups.end());
    report.say_part(plan::text_of(answer) + plan::inputs_text(inputs, names));
}

void run_sweep(const Arguments& arguments, Report& report, PlanQuestion question,
               std::span<const std::string_view> groups) {
    plan::SweepRequest request = plan::parse_sweep(arguments.text("--sweep"));
    if (request.key != "cluster" && request.key != "scenario" && request.key != "model")
        request.key = plan::full_input_name(request.key, "--sweep");
    const plan::Sweep sweep =
        plan::sweep(request.key, request.values, [&](const std::string& value) {
            const Request point = make_request(arguments, request.key, value);
            return question(point.config, point.inputs);
        });
    const plan::Inputs base = make_request(arguments).inputs;
    const std::string title = concat(plan::title_of("Sweep", base), " · by ", request.key);
    report_sweep(arguments, report, sweep, title);
    if (report.json()) add_inputs(base, groups, report);
}

}  // namespace

void report_sweep(const Arguments& arguments, Report& report, const plan::Sweep& sweep,
                  const std::string& title) {
    if (arguments.has("--svg"))
        write_file_atomically(output_argument(arguments, "--svg"), plan::sweep_svg(sweep, title));
    const plan::Table table = plan::sweep_table(sweep);
    if (report.json()) {
        report.add("title", title);
        return add_table(table, report);
    }
    plan::Answer answer{
        .title = title, .sections = {{.title = "SWEEP", .tables = {table}}}, .headline = {}};
    report.say_part(plan::text_of(answer));
}

std::vector<Option> plan_options() {
    return {
        {.name = "MODEL", .help = "a preset, a config.json or a model directory (v3-671b)"},
        {.name = "--cluster",
         .value = "NAME",
         .help = "a preset of recipes/clusters, or a TOML file (h800-2048)"},
        {.name = "--scenario",
         .value = "NAME",
         .help = "a preset of recipes/scenarios, or a TOML file; may be repeated",
         .repeated = true},
        {.name = "--gpus", .value = "N", .help = "GPUs of the run"},
        {.name = "--pp", .value = "N", .help = "pipeline ranks"},
        {.name = "--ep", .value = "N", .help = "GPUs that share a layer's experts"},
        {.name = "--tp", .value = "N", .help = "tensor parallelism"},
        {.name = "--zero", .value = "0-3", .help = "ZeRO stage"},
        {.name = "--batch", .value = "N", .help = "sequences of a step"},
        {.name = "--schedule",
         .value = "NAME",
         .help = "dualpipe, dualpipev, 1f1b, interleaved, zb-h1, zb-v"},
        {.name = "--precision", .value = "NAME", .help = "fp8, bf16, mxfp8, nvfp4"},
        {.name = "--recompute", .value = "NAME", .help = "report, none, redispatch, full"},
        {.name = "--tokens", .value = "N", .help = "of pre-training, such as 14.8e12"},
        {.name = "--set",
         .value = "KEY=VALUE",
         .help = "any other input; may be repeated",
         .repeated = true},
        {.name = "--sweep",
         .value = "KEY=A,B,…",
         .help = "one answer a value: an input, or cluster, scenario, model"},
        {.name = "--svg", .value = "FILE", .help = "with --sweep: a picture of it"},
        {.name = "--force", .help = "replace an existing picture"},
        {.name = "--list-inputs", .help = "every input with its value and source, and no answer"}};
}

void run_plan(const Arguments& arguments, Report& report, PlanQuestion question,
              std::initializer_list<std::string_view> groups) {
    if (arguments.has("--svg") && !arguments.has("--sweep")) {
        throw Error(Error::Kind::usage,
                    "--svg draws a sweep (give --sweep KEY=A,B,… too, or leave --svg out)");
    }
    if (arguments.flag("--list-inputs")) {
        const plan::Inputs inputs = make_request(arguments).inputs;
        constexpr std::string_view kAll[] = {""};
        if (report.json()) return add_inputs(inputs, kAll, report);
        report.say_part(plan::inputs_text(inputs, {""}));
    } else if (arguments.has("--sweep")) {
        run_sweep(arguments, report, question, groups);
    } else {
        const Request request = make_request(arguments);
        report_answer(question(request.config, request.inputs), request.inputs, groups, report);
    }
}

}  // namespace hadal::cli
