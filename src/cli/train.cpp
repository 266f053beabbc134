// `hadal train RECIPE`: trains a model as the recipe says, alone on this machine.
#include <cstdio>

#include "cli/arguments.h"
#include "cli/available_memory.h"
#include "cli/machine.h"
#include "cli/recipe_argument.h"
#include "cli/report.h"
#include "cli/stop_signals.h"
#include "cli/train_record.h"
#include "cli/train_replay.h"
#include "cli/train_watch.h"
#include "core/error.h"
#include "core/progress.h"
#include "train/export_average.h"
#include "train/memory_plan.h"
#include "train/pretrain.h"
#include "train/recipe.h"
#include "train/step_table.h"

namespace hadal::cli {

namespace {

/// For the progress line.
std::string step_note(const train::Metrics& metrics) {
    char loss[32];
    std::snprintf(loss, sizeof loss, "%.3f", metrics.loss);
    return concat("step ", metrics.step, "  loss ", loss);
}

void add_from_to(Report& report, const std::string& name, const std::optional<double>& from,
                 const std::optional<double>& to) {
    if (from && to) report.add(name, std::vector<double>{*from, *to});
}

void report_summary(const train::Recipe& recipe, const train::PretrainSummary& summary,
                    Report& report) {
    report.add("finished", summary.finished);
    report.add("steps", summary.last.step);
    report.add("tokens", summary.last.tokens);
    if (summary.resumed_from > 0) report.add("resumed_from_step", summary.resumed_from);
    report.add("loss", summary.last.loss);
    add_from_to(report, "validation_loss", summary.first.validation_loss,
                summary.last.validation_loss);
    add_from_to(report, "bits_per_byte", summary.first.bits_per_byte, summary.last.bits_per_byte);
    report.add("max_violation", summary.last.max_violation);
    add_from_to(report, "validation_max_violation", summary.first.validation_max_violation,
                summary.last.validation_max_violation);
    report.add("skipped", summary.last.skipped);
    if (summary.failed_snapshots > 0) report.add("failed_snapshots", summary.failed_snapshots);
    report.add("run", recipe.run.out);
    report.add("loss_curve", recipe.run.out + "/loss.svg");
    if (!summary.ema_model.empty()) {
        add_from_to(report, "ema_validation_loss", summary.first.ema_validation_loss,
                    summary.last.ema_validation_loss);
        report.add("ema_model", summary.ema_model);
    }
    if (summary.finished) {
        report.add("model", summary.model);
    } else {
        report.say("stopped; the same command with --resume continues");
    }
}

void report_plan(const train::Recipe& recipe, Report& report) {
    const train::MemoryPlan plan = train::plan_memory(recipe);
    report.add("parameters", plan.parameters);
    report.add("active_parameters", plan.active_parameters);
    report.add("steps", plan.steps);
    report.add("tokens", plan.tokens);
    report.add("weights_bytes", plan.weights);
    report.add("master_bytes", plan.master);
    report.add("moments_bytes", plan.moments);
    report.add("gradients_bytes", plan.gradients);
    report.add("average_bytes", plan.average);
    report.add("snapshot_copy_bytes", plan.snapshot_copy);
    report.add("activations_bytes", plan.activations);
    report.add("activations_in_full_bytes", plan.activations_in_full);
    report.add("total_bytes", plan.total());
    const AvailableMemory available = available_memory_of_process();
    if (!available.limited_by.empty()) report.add("available_bytes", available.bytes);
    for (const train::PlannedActivation& part : plan.parts) {
        report.add_row("activations", Record()
                                          .add("part", part.name)
                                          .add("count", part.count)
                                          .add("bytes", part.bytes)
                                          .add("bytes_in_full", part.bytes_in_full));
    }
}

void add_step_table(const train::Recipe& recipe, Report& report) {
    for (const train::StepTableRow& row : train::step_table(recipe)) {
        report.add_row("schedule", Record()
                                       .add("at", row.what)
                                       .add("step", row.step)
                                       .add("tokens", row.tokens)
                                       .add("lr", row.learning_rate)
                                       .add("batch", row.batch)
                                       .add("bias_rate", row.bias_rate)
                                       .add("mtp_weight", row.mtp_weight));
    }
}

std::string gib(int64_t bytes) {
    char text[32];
    std::snprintf(text, sizeof text, "%.4g GiB", double(bytes) / 0x1p30);
    return text;
}

/// A run that cannot fit would be killed by the system in the middle of its first steps, and with
/// luck nothing else on the machine.
void check_memory(const train::Recipe& recipe) {
    const train::MemoryPlan plan = train::plan_memory(recipe);
    const AvailableMemory available = available_memory_of_process();
    if (plan.total() <= available.bytes) return;
    throw Error(
        Error::Kind::bad_input,
        concat("not enough memory: this run needs ", gib(plan.total()), " (weights and optimizer ",
               gib(plan.weights + plan.master + plan.moments), ", gradients ", gib(plan.gradients),
               ", copy for snapshots ", gib(plan.snapshot_copy), ", activations ",
               gib(plan.activations), "), and ", gib(available.bytes), " are available by ",
               available.limited_by,
               " (batch.micro_batch, data.seq_len, optimizer.moments, snapshot.background and "
               "memory.recompute make it smaller; --ignore-memory starts all the same)"));
}

void run_export_ema(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    const train::ExportedAverage exported = train::export_average(
        machine.context(), arguments.path("--export-ema"),
        {.directory = arguments.has("--out") ? arguments.path("--out") : std::filesystem::path(),
         .warn = [](const std::string& text) {
             std::fprintf(stderr, "warning: %s\n", text.c_str());
         }});
    report.add("step", exported.step);
    report.add("snapshot", exported.snapshot);
    report.add("ema_model", exported.model);
}

void run_train(const Arguments& arguments, Report& report) {
    int tasks = 0;
    for (const char* task : {"RECIPE", "--replay", "--watch", "--export-ema"}) {
        tasks += int(arguments.has(task));
    }
    if (tasks != 1) {
        throw Error(Error::Kind::usage,
                    "give RECIPE, --replay FILE, --watch RUN or --export-ema RUN, one of them (see "
                    "hadal train --help)");
    }
    if (arguments.has("--replay")) return run_train_replay(arguments, report);
    if (arguments.has("--watch")) return run_train_watch(arguments, report);
    if (arguments.has("--export-ema")) return run_export_ema(arguments, report);
    const train::Recipe recipe = read_recipe_argument(arguments);
    if (arguments.flag("--dry-run")) {
        report_plan(recipe, report);
        return add_step_table(recipe, report);
    }
    if (!arguments.flag("--ignore-memory")) check_memory(recipe);
    StopSignals signals;
    Machine machine(arguments.globals());
    ProgressLine progress("tokens", arguments.globals().shows_progress());
    const train::PretrainOptions options{
        .resume = arguments.flag("--resume"),
        .allow_change = arguments.texts("--allow-change"),
        .force = arguments.flag("--force"),
        .stop_requested = [&] { return signals.requested(); },
        .on_step =
            [&](const train::Metrics& metrics) {
                report.emit(step_record(metrics));
                progress.show(metrics.tokens, recipe.total_tokens(), step_note(metrics));
            },
        .warn =
            [](const std::string& text) { std::fprintf(stderr, "warning: %s\n", text.c_str()); },
    };
    report_summary(recipe, train::pretrain(machine.context(), recipe, options), report);
}

}  // namespace

extern const Command kTrain = {
    .name = "train",
    .group = Group::training,
    .summary = "Train a model as a recipe says",
    .example = "hadal train recipes/tiny_cpu.toml --set run.out=runs/first",
    .options = {{.name = "RECIPE", .help = "a TOML file"},
                {.name = "--set",
                 .value = "a.b=c",
                 .help = "override a key of the recipe; may be repeated",
                 .repeated = true},
                {.name = "--resume", .help = "continue from the newest snapshot"},
                {.name = "--allow-change",
                 .value = "a.b",
                 .help = "with --resume: this key may differ from the run's; may be repeated",
                 .repeated = true},
                {.name = "--force", .help = "delete a run that is in the way"},
                {.name = "--ignore-memory",
                 .help = "start although the plan says that the memory will not do"},
                {.name = "--dry-run", .help = "print memory, steps and tokens, and train nothing"},
                {.name = "--replay",
                 .value = "FILE",
                 .help = "run a step again that RUN/spikes/step-N.json records, and look into it"},
                {.name = "--watch", .value = "RUN", .help = "live curves of a run; q quits"},
                {.name = "--export-ema",
                 .value = "RUN",
                 .help = "write the averaged parameters of a run's newest snapshot as a model, "
                         "also while it goes on"},
                {.name = "--out",
                 .value = "DIR",
                 .help = "with --export-ema: where to (default RUN/model-ema)"}},
    .run = run_train,
};

}  // namespace hadal::cli
