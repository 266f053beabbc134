// `hadal plan balance`: how evenly redundant experts spread the load of a mixture of experts over
// GPUs.
#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <optional>

#include "chart/chart.h"
#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/report.h"
#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"
#include "core/random.h"
#include "infer/expert_placement.h"

namespace hadal::cli {

namespace {

using infer::ExpertImbalance;
using infer::ExpertPlacement;
using infer::ExpertSlots;
using Loads = std::vector<std::vector<double>>;  // [layers][experts]

constexpr int64_t kMaxCount = 4096;  // experts, GPUs; a service has hundreds
constexpr int64_t kMaxLayers = 1000;

/// `expert_load.json` of a training run, or the table alone: one list of numbers for each layer.
Loads loads_of_file(const Arguments& arguments) {
    const std::string& where = arguments.text("--load");
    const auto malformed = [&where](const std::string& what) {
        throw Error(Error::Kind::corrupt_file,
                    concat(what, ": ", where,
                           " (want {\"load\": [[12, 7, …], …]}: a list of loads for each layer)"));
    };
    const nlohmann::json json = parse_json(file_content(arguments, "--load"), where);
    const bool wrapped = json.is_object() && json.contains("load");
    const nlohmann::json& table = wrapped ? json["load"] : json;
    if (!table.is_array() || table.empty()) malformed("no table of expert loads");
    if (table.size() > kMaxLayers || table[0].size() > kMaxCount) {
        malformed(concat("more than ", kMaxLayers, " layers of ", kMaxCount, " experts"));
    }
    Loads loads;
    for (const nlohmann::json& layer : table) {
        if (!layer.is_array() || layer.empty() || layer.size() != table[0].size()) {
            malformed(
                concat("layer ", loads.size(), " is not a list of as many loads as the first"));
        }
        std::vector<double>& row = loads.emplace_back();
        for (const nlohmann::json& value : layer) {
            if (!value.is_number())
                malformed(concat("a load of layer ", loads.size() - 1, " is not a number"));
            row.push_back(value.get<double>());
        }
    }
    return loads;
}

/// The expert of rank k gets a share of k^−exponent; which expert that is, differs by layer.
Loads zipf_loads(const Arguments& arguments) {
    const double exponent = arguments.number("--zipf", 0, 10);
    const auto experts = size_t(arguments.integer("--experts", 1, kMaxCount));
    const auto layers = size_t(arguments.integer("--layers", 1, kMaxLayers));
    Loads loads(layers);
    for (size_t layer = 0; layer < layers; ++layer) {
        RandomSequence random(arguments.seed(), layer);
        for (size_t rank = 1; rank <= experts; ++rank) {
            loads[layer].push_back(1000 * std::pow(double(rank), -exponent));
            std::swap(loads[layer].back(), loads[layer][random.below(rank)]);
        }
    }
    return loads;
}

/// The imbalance of all layers under one number of redundant experts.
struct Outcome {
    int64_t redundant = 0;
    ExpertSlots slots;
    std::vector<ExpertPlacement> placements;  // [layers]
    std::vector<ExpertImbalance> layers;      // [layers]

    double mean() const {
        double sum = 0;
        for (const ExpertImbalance& layer : layers) sum += layer.gpu;
        return sum / double(layers.size());
    }
    size_t worst_layer() const {
        return size_t(std::ranges::max_element(layers, {}, &ExpertImbalance::gpu) - layers.begin());
    }
    int most_replicas() const {
        size_t most = 0;
        for (const ExpertPlacement& placement : placements) {
            for (const auto& slots_of : placement.slots_of) most = std::max(most, slots_of.size());
        }
        return int(most);
    }
};

using Place = ExpertPlacement (*)(const std::vector<double>& load, const ExpertSlots& slots);

Outcome outcome(const Loads& loads, const ExpertSlots& sizes, int64_t redundant, Place place) {
    Outcome result{.redundant = redundant, .slots = sizes, .placements = {}, .layers = {}};
    result.slots.slots = int(int64_t(loads[0].size()) + redundant);
    for (size_t layer = 0; layer < loads.size(); ++layer) {
        result.placements.push_back(place(loads[layer], result.slots));
        result.layers.push_back(
            expert_imbalance(loads[layer], result.placements.back(), result.slots));
    }
    return result;
}

ExpertPlacement place_balanced(const std::vector<double>& load, const ExpertSlots& slots) {
    return infer::place_experts(load, slots);
}

ExpertPlacement place_in_order(const std::vector<double>& load, const ExpertSlots& slots) {
    return infer::experts_in_order(int(load.size()), slots);
}

Record row(std::string_view placement, const Outcome& outcome) {
    const ExpertImbalance& worst = outcome.layers[outcome.worst_layer()];
    return Record()
        .add("placement", placement)
        .add("redundant", outcome.redundant)
        .add("slots_per_gpu", outcome.slots.slots_per_gpu())
        .add("gpu_mean", outcome.mean())
        .add("gpu_worst", worst.gpu)
        .add("node_worst", worst.node)
        .add("replica_worst", worst.replica)
        .add("most_replicas", outcome.most_replicas());
}

/// The most loaded GPU over the mean, against the redundant experts.
std::string sweep_chart(const std::vector<Outcome>& outcomes) {
    chart::Series mean{
        .name = "mean of the layers", .color = "#1f77b4", .points = {}, .markers = true};
    chart::Series worst{.name = "worst layer", .color = "#d62728", .points = {}, .markers = true};
    for (const Outcome& each : outcomes) {
        mean.points.emplace_back(each.redundant, each.mean());
        worst.points.emplace_back(each.redundant, each.layers[each.worst_layer()].gpu);
    }
    for (chart::Series* series : {&mean, &worst}) std::ranges::sort(series->points);
    return chart::line_chart_svg({.title = "Load of the most loaded GPU, over the mean",
                                  .x_label = "redundant experts",
                                  .y_label = "largest / mean",
                                  .series = {worst, mean}});
}

/// The GPUs of one layer from the most loaded on.
chart::Series gpu_series(const char* name, const char* color, const std::vector<double>& load,
                         const Outcome& outcome, size_t layer) {
    std::vector<double> gpus = infer::gpu_loads(load, outcome.placements[layer], outcome.slots);
    std::ranges::sort(gpus, std::greater<>());
    const double mean = std::accumulate(gpus.begin(), gpus.end(), 0.0) / double(gpus.size());
    chart::Series series{.name = name, .color = color, .points = {}, .markers = true};
    for (size_t i = 0; i < gpus.size(); ++i) {
        series.points.emplace_back(double(i), mean > 0 ? gpus[i] / mean : 1);
    }
    return series;
}

std::string layer_chart(const Loads& loads, const std::optional<Outcome>& before,
                        const Outcome& after) {
    const size_t layer = before ? before->worst_layer() : after.worst_layer();
    chart::LineChart picture{
        .title = concat("Load of each GPU, layer ", layer, " of ", loads.size()),
        .x_label = "GPUs from the most loaded on",
        .y_label = "load / mean",
        .series = {}};
    if (before) {
        picture.series.push_back(
            gpu_series("experts in order", "#777777", loads[layer], *before, layer));
    }
    picture.series.push_back(gpu_series("balanced", "#1f77b4", loads[layer], after, layer));
    return chart::line_chart_svg(picture);
}

std::vector<int64_t> redundant_argument(const Arguments& arguments) {
    std::vector<int64_t> counts = {arguments.integer("--redundant", 0, kMaxCount)};
    if (!arguments.has("--sweep")) return counts;
    counts = arguments.integers("--sweep", 0);
    for (const int64_t count : counts) {
        if (count > kMaxCount) {
            throw Error(Error::Kind::usage,
                        concat("--sweep wants numbers up to ", kMaxCount, ", got ", count));
        }
    }
    return counts;
}

/// For a program that takes the placement over: JSON only.
void report_layers(Report& report, const Outcome& outcome) {
    for (size_t layer = 0; layer < outcome.layers.size(); ++layer) {
        const std::vector<int>& expert_of = outcome.placements[layer].expert_of;
        report.add_row("layers", Record()
                                     .add("layer", layer)
                                     .add("gpu", outcome.layers[layer].gpu)
                                     .add("node", outcome.layers[layer].node)
                                     .add("expert_of_slot", std::vector<int64_t>(expert_of.begin(),
                                                                                 expert_of.end())));
    }
}

void run_plan_balance(const Arguments& arguments, Report& report) {
    if (arguments.has("--load") && arguments.has("--zipf")) {
        throw Error(Error::Kind::usage, "give either --load FILE or --zipf S");
    }
    if (!arguments.has("--load") && !arguments.has("--zipf")) {
        throw Error(Error::Kind::usage, "--load FILE or --zipf S is missing");
    }
    const Loads loads = arguments.has("--load") ? loads_of_file(arguments) : zipf_loads(arguments);
    const int experts = int(loads[0].size());
    const ExpertSlots sizes = {.groups = int(arguments.integer("--groups", 1, kMaxCount)),
                               .nodes = int(arguments.integer("--nodes", 1, kMaxCount)),
                               .gpus = int(arguments.integer("--gpus", 1, kMaxCount))};
    std::vector<Outcome> outcomes;
    for (const int64_t redundant : redundant_argument(arguments)) {
        outcomes.push_back(outcome(loads, sizes, redundant, place_balanced));
    }
    std::optional<Outcome> before;  // only if the experts divide by the GPUs
    if (experts % sizes.gpus == 0) before = outcome(loads, sizes, 0, place_in_order);
    const std::string_view policy = name(outcomes[0].placements[0].policy);
    report.add("policy", policy);
    report.add("layers_read", loads.size());
    report.add("experts", experts);
    report.add("gpus", sizes.gpus);
    report.add("nodes", sizes.nodes);
    report.add("groups", sizes.groups);
    if (before) report.add_row("placements", row("in order", *before));
    for (const Outcome& each : outcomes) report.add_row("placements", row(policy, each));
    const bool sweep = arguments.has("--sweep");
    if (report.json() && !sweep) report_layers(report, outcomes[0]);
    if (!arguments.has("--svg")) return;
    const auto path = output_argument(arguments, "--svg");
    write_file_atomically(path,
                          sweep ? sweep_chart(outcomes) : layer_chart(loads, before, outcomes[0]));
    report.add("svg", path.string());
}

}  // namespace

extern const Command kPlanBalance = {
    .name = "plan balance",
    .group = Group::planning,
    .summary = "Redundant experts: how evenly they load the GPUs",
    .example = "hadal plan balance --zipf 0.8 --gpus 32 --nodes 4 --sweep 0,32,64",
    .options =
        {
            {.name = "--load",
             .value = "FILE",
             .help = "loads of the experts in JSON, as a training run's expert_load.json"},
            {.name = "--zipf",
             .value = "S",
             .help = "a made-up load instead: the k-th expert gets k^-S"},
            {.name = "--experts", .value = "N", .help = "of the made-up load", .fallback = "256"},
            {.name = "--layers", .value = "N", .help = "of the made-up load", .fallback = "58"},
            {.name = "--gpus", .value = "N", .help = "that share the experts", .fallback = "32"},
            {.name = "--nodes", .value = "N", .help = "that hold these GPUs", .fallback = "4"},
            {.name = "--groups",
             .value = "G",
             .help = "expert groups of the gate",
             .fallback = "8"},
            {.name = "--redundant",
             .value = "R",
             .help = "places for experts beyond one each",
             .fallback = "32"},
            {.name = "--sweep", .value = "R,R,…", .help = "several numbers of redundant experts"},
            {.name = "--svg", .value = "FILE", .help = "a picture: GPUs, or the sweep"},
            {.name = "--force", .help = "replace a file that exists"},
        },
    .run = run_plan_balance,
};

}  // namespace hadal::cli
