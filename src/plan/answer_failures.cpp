#include "core/error.h"
#include "plan/answers.h"
#include "plan/failures.h"
#include "plan/memory.h"

namespace hadal::plan {

namespace {

constexpr uint64_t kSeed = 1;  // the simulation is part of the answer: the same every time

Table sizes_table(const Inputs& inputs) {
    Table table{.key = "sizes",
                .title = "",
                .columns = {{"gpus", "GPUs", "count"},
                            {"hours_between", "a failure every", "s"},
                            {"young", "Young", "s"},
                            {"daly", "Daly", "s"},
                            {"waste", "waste, by hand", "share"},
                            {"goodput", "goodput", "share"},
                            {"simulated", "simulated", "share"},
                            {"half_width", "± (99 %)", "share"}},
                .rows = {}};
    std::vector<int64_t> sizes = {2048, 16384, 100000};
    if (inputs.layout.gpus != 2048) sizes.insert(sizes.begin(), inputs.layout.gpus);
    for (const int64_t gpus : sizes) {
        const FailureModel model = failure_model(inputs.failures, gpus);
        const double interval = daly_interval(model);
        const SimulatedGoodput simulated =
            simulate_goodput(model, interval, inputs.failures.trials, kSeed);
        table.rows.push_back({std::to_string(gpus), model.mean_seconds_between,
                              young_interval(model), interval, first_order_waste(model, interval),
                              goodput(model, interval), simulated.mean, simulated.half_width});
    }
    return table;
}

Table snapshot_table(const Inputs& inputs) {
    Table table{.key = "snapshots",
                .title = "",
                .columns = {{"snapshot_s", "snapshot takes", "s"},
                            {"interval", "one every", "s"},
                            {"goodput", "goodput", "share"}},
                .rows = {}};
    for (const double seconds : {1.0, 5.0, 30.0, 120.0, 600.0}) {
        FailureModel model = failure_model(inputs.failures, inputs.layout.gpus);
        model.snapshot = seconds;
        const double interval = daly_interval(model);
        table.rows.push_back({seconds, interval, goodput(model, interval)});
    }
    return table;
}

}  // namespace

Answer answer_failures(const model::ModelConfig& config, const Inputs& inputs) {
    const FailureModel model = failure_model(inputs.failures, inputs.layout.gpus);
    const double interval = daly_interval(model);
    const SimulatedGoodput simulated =
        simulate_goodput(model, interval, inputs.failures.trials, kSeed);
    Answer answer{.title = title_of("Failures", inputs), .sections = {}, .headline = {}};
    answer.sections.push_back(
        {.title = concat(inputs.layout.gpus, " GPUs"),
         .figures = {
             {"seconds_between_failures", "a failure every", model.mean_seconds_between, "s"},
             {"interval_seconds", "best interval between snapshots", interval, "s",
              Mark::prediction, "Daly 2006"},
             {"young_seconds", "by Young's formula", young_interval(model), "s", Mark::prediction,
              "Young 1974"},
             {"goodput", "share of time that is progress", goodput(model, interval), "share",
              Mark::prediction, "closed form"},
             {"goodput_simulated", "the same, simulated", simulated.mean, "share", Mark::prediction,
              concat("± ", quantity(simulated.half_width, "share"), " with 99 % confidence")},
             {"waste_first_order", "waste as computed by hand", first_order_waste(model, interval),
              "share"}}});
    if (is_possible(config, inputs)) {
        const double states = fullest_rank(config, inputs).states();
        answer.sections.back().figures.push_back(
            {"state_copy_seconds", "states of a rank to host memory",
             states / (inputs.network.host_gb_per_s * 1e9), "s", Mark::prediction,
             "a floor for failures.snapshot_s"});
    }
    answer.sections.push_back({.title = "BY SIZE OF THE CLUSTER", .tables = {sizes_table(inputs)}});
    answer.sections.push_back(
        {.title = concat("BY COST OF A SNAPSHOT, ", inputs.layout.gpus, " GPUS"),
         .tables = {snapshot_table(inputs)}});
    answer.headline = {"seconds_between_failures", "interval_seconds", "goodput",
                       "goodput_simulated"};
    return answer;
}

}  // namespace hadal::plan
