#include "cli/train_replay.h"

#include <cstdio>

#include "cli/machine.h"
#include "core/progress.h"
#include "train/replay.h"

namespace hadal::cli {

namespace {

void add_layers(const train::Replay& replay, Report& report) {
    for (const train::ReplayedLayer& layer : replay.layers) {
        report.add_row("layers", Record()
                                     .add("layer", layer.name)
                                     .add("grad_norm", layer.grad_norm)
                                     .add("not_finite", layer.not_finite)
                                     .add("activation_max", layer.activation_max)
                                     .add("max_violation", layer.max_violation)
                                     .add("dead_experts", layer.dead_experts));
    }
}

void add_sequences(const train::Replay& replay, Report& report) {
    for (const train::ReplayedSequence& sequence : replay.sequences) {
        report.add_row("sequences",
                       Record()
                           .add("sample", sequence.sample)
                           .add("loss", sequence.loss)
                           .add("activation_max", sequence.activation_max)
                           .add("first_ids", std::vector<int64_t>(sequence.first_ids.begin(),
                                                                  sequence.first_ids.end())));
    }
}

}  // namespace

void run_train_replay(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    ProgressLine progress("steps", arguments.globals().shows_progress());
    const train::Replay replay =
        train::replay(machine.context(), arguments.path("--replay"),
                      {.on_progress = progress.callback(), .warn = [](const std::string& text) {
                           std::fprintf(stderr, "warning: %s\n", text.c_str());
                       }});
    report.add("step", replay.record.step);
    report.add("reason", replay.record.reason);
    report.add("skipped", replay.record.skipped);
    report.add("replayed_from_step", replay.replayed_from);
    report.add("snapshot", replay.snapshot);
    report.add("lr", replay.record.learning_rate);
    report.add("loss", replay.loss);
    report.add("loss_median", replay.record.loss_median);
    report.add("loss_deviation", replay.record.loss_deviation);
    report.add("grad_norm", replay.grad_norm);
    report.add("norm_median", replay.record.norm_median);
    report.add("norm_deviation", replay.record.norm_deviation);
    report.add("same_bits", replay.same_bits);
    add_layers(replay, report);
    add_sequences(replay, report);
}

}  // namespace hadal::cli
