// `hadal convert`: a GGUF file as a model directory in Hugging Face layout.
#include "checkpoint/gguf.h"
#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/gguf_file.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "core/progress.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "model/save_model.h"

namespace hadal::cli {

namespace {

void run_convert(const Arguments& arguments, Report& report) {
    const DType dtype = arguments.globals().dtype.value_or(DType::bf16);
    const std::filesystem::path out = output_argument(arguments, "--out");
    const auto file = checkpoint::Gguf::open(arguments.path("FILE"));
    auto [config, assumed] = model::gguf_config(file);
    const model::GgufWeights weights(file, config);
    model::SaveOptions options{.force = arguments.flag("--force")};
    if (!arguments.flag("--no-tokenizer")) options.files = gguf_tokenizer_files(file, config);
    const bool has_tokenizer = !options.files.empty();
    Machine machine(arguments.globals());
    {
        ProgressLine progress("tensors", arguments.globals().shows_progress());
        options.progress = progress.callback();
        model::save_filled_model(
            out, config, dtype,
            [&](const model::Parameter& parameter, Tensor& values) {
                weights.read(machine.context(), parameter, values);
            },
            options);
    }
    const model::ParameterCount count = model::count_parameters(config);
    report.add("tensors", count.tensors);
    report.add("parameters", count.total);
    report.add("mtp_parameters", count.mtp);
    report.add("dtype", name(dtype));
    report.add("tokenizer", has_tokenizer);
    report.add("out", out.string());
    for (const std::string& choice : assumed) {
        report.add_row("assumed", Record().add("setting", choice));
    }
}

}  // namespace

extern const Command kConvert = {
    .name = "convert",
    .group = Group::model,
    .summary = "A GGUF file of a V3-family model in Hugging Face layout",
    .example = "hadal convert models/deepseek-v3.gguf --out models/v3",
    .options =
        {
            {.name = "FILE", .help = "a GGUF file, or any part of one in parts", .required = true},
            {.name = "--out", .value = "DIR", .help = "directory to write", .required = true},
            {.name = "--no-tokenizer", .help = "leave the file's tokenizer out"},
            {.name = "--force", .help = "replace a model that is there already"},
        },
    .run = run_convert,
};

}  // namespace hadal::cli
