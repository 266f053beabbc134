// `hadal plan serve`: speed, latency and price of a service, of units or of one machine.
#include "cli/plan_request.h"

namespace hadal::cli {

namespace {

void run_plan_serve(const Arguments& arguments, Report& report) {
    run_plan(arguments, report, plan::answer_serve,
             {"gpu.", "network.", "efficiency.", "layout.precision", "layout.combine_precision",
              "prefill.", "decode.", "demand.", "cost."});
}

}  // namespace

extern const Command kPlanServe = {
    .name = "plan serve",
    .group = Group::planning,
    .summary = "Speed, latency and price of serving",
    .example = "hadal plan serve v3-671b --set decode.mtp=1",
    .options = plan_options(),
    .run = run_plan_serve,
};

}  // namespace hadal::cli
