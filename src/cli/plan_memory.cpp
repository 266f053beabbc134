// `hadal plan memory`: bytes per rank of a layout, and what to change when they do not fit.
#include "cli/plan_request.h"

namespace hadal::cli {

namespace {

void run_plan_memory(const Arguments& arguments, Report& report) {
    run_plan(arguments, report, plan::answer_memory, {"gpu.", "layout."});
}

}  // namespace

extern const Command kPlanMemory = {
    .name = "plan memory",
    .group = Group::planning,
    .summary = "Bytes per rank of a training layout",
    .example = "hadal plan memory v3-671b --pp 16 --ep 64",
    .options = plan_options(),
    .run = run_plan_memory,
};

}  // namespace hadal::cli
