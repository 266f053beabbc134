// `hadal plan failures`: how often to take snapshots, and what failures cost.
#include "cli/plan_request.h"

namespace hadal::cli {

namespace {

void run_plan_failures(const Arguments& arguments, Report& report) {
    run_plan(arguments, report, plan::answer_failures,
             {"failures.", "layout.gpus", "network.host"});
}

}  // namespace

extern const Command kPlanFailures = {
    .name = "plan failures",
    .group = Group::planning,
    .summary = "Snapshot interval and goodput under failures",
    .example = "hadal plan failures --gpus 16384 --set failures.restart_s=60",
    .options = plan_options(),
    .run = run_plan_failures,
};

}  // namespace hadal::cli
