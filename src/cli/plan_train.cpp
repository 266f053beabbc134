// `hadal plan train`: what a run takes in time, money and energy, and where the time goes.
#include "cli/plan_request.h"

namespace hadal::cli {

namespace {

void run_plan_train(const Arguments& arguments, Report& report) {
    run_plan(arguments, report, plan::answer_train,
             {"gpu.", "network.", "efficiency.", "production.", "layout.", "run.", "cost."});
}

}  // namespace

extern const Command kPlanTrain = {
    .name = "plan train",
    .group = Group::planning,
    .summary = "Time, money and energy of a training run",
    .example = "hadal plan train v3-671b --cluster h800-2048",
    .options = plan_options(),
    .run = run_plan_train,
};

}  // namespace hadal::cli
