// `hadal init`: a model with random weights.
#include "cli/arguments.h"
#include "cli/machine.h"
#include "cli/model_argument.h"
#include "cli/report.h"
#include "model/save_model.h"

namespace hadal::cli {

namespace {

void run_init(const Arguments& arguments, Report& report) {
    Machine machine(arguments.globals());
    model::ModelConfig config = config_argument(arguments, "--config");
    const DType dtype = arguments.globals().dtype.value_or(DType::bf16);
    model::save_fresh_model(machine.context(), arguments.path("--out"), config, dtype,
                            arguments.seed(), {.force = arguments.flag("--force")});
    const model::ParameterCount count = model::count_parameters(config);
    report.add("parameters", count.total);
    report.add("active_parameters", count.active);
    report.add("mtp_parameters", count.mtp);
    report.add("out", arguments.text("--out"));
}

}  // namespace

extern const Command kInit = {
    .name = "init",
    .group = Group::model,
    .summary = "Make a model with random weights",
    .example = "hadal init --preset mini --out models/mini",
    .options =
        {
            {.name = "--preset", .value = "NAME", .help = "a known shape: tiny, mini, v3-16b, …"},
            {.name = "--config", .value = "FILE", .help = "a config.json instead of a preset"},
            {.name = "--out", .value = "DIR", .help = "directory to write", .required = true},
            {.name = "--force", .help = "replace a model that is there already"},
        },
    .run = run_init,
};

}  // namespace hadal::cli
