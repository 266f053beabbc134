// `hadal quantize`: a model's weights in block-FP8, in INT8, its experts in INT4, or all in bf16.
#include "model/quantize_model.h"

#include <algorithm>
#include <optional>

#include "cli/arguments.h"
#include "cli/file_argument.h"
#include "cli/gguf_file.h"
#include "cli/machine.h"
#include "cli/report.h"
#include "cli/text_model.h"
#include "core/file_map.h"
#include "eval/divergence.h"
#include "eval/expert_importance.h"
#include "eval/perplexity.h"
#include "model/gguf_config.h"

namespace hadal::cli {

namespace {

model::Storage int4_storage(const Arguments& arguments) {
    const std::string rest = arguments.has("--rest") ? arguments.text("--rest") : "int8";
    if (rest == "int8") return model::Storage::int4_int8;
    if (rest == "int4") return model::Storage::int4;
    if (rest == "bf16") return model::Storage::int4_experts;
    throw Error(
        Error::Kind::usage,
        concat("--rest ", rest, ": is no type beside experts in INT4 (int8, int4 or bf16)"));
}

model::Storage storage(const Arguments& arguments) {
    const std::string& to = arguments.text("--to");
    if (to == "int4") return int4_storage(arguments);
    if (arguments.has("--rest"))
        throw Error(Error::Kind::usage, "--rest is beside experts in INT4 (give --to int4)");
    if (to == "fp8") return model::Storage::block_fp8;
    if (to == "int8") return model::Storage::int8;
    if (to == "bf16") return model::Storage::bf16;
    throw Error(Error::Kind::usage,
                concat("--to ", to, ": is no type to store weights in (fp8, int8, int4 or bf16)"));
}

constexpr int64_t kWindow = 512;

int64_t window_of(const model::Model& model) {
    return std::min(kWindow, model.config.max_position_embeddings);
}

/// How well a model predicts the text of --check.
double nll(Context& context, const TextModel& checked, const std::string& text) {
    return eval::score_text(context, checked.model, checked.tokenizer, text,
                            window_of(checked.model))
        .nll();
}

/// What the new model has lost on the text of --check, on which the old one had `before`.
void add_losses(Context& context, const TextModel& source, const TextModel& made,
                const std::string& text, double before, Report& report) {
    const double after = nll(context, made, text);
    const eval::Divergence divergence = eval::compare_models(
        context, source.model, made.model, source.tokenizer, text, window_of(source.model));
    report.add("nll", after);
    report.add("nll_change", after - before);
    report.add("kl", divergence.kl());
    report.add("same_best_token", divergence.agreement());
}

/// What the text of --calibrate says; empty without one.
model::ColumnImportance importance_argument(const Arguments& arguments, Context& context) {
    if (!arguments.has("--calibrate")) return {};
    if (arguments.text("--to") != "int4") {
        throw Error(Error::Kind::usage,
                    "--calibrate chooses the scales of INT4 (give --to int4, or leave it out)");
    }
    const std::string text = read_file(arguments.path("--calibrate"));
    const TextModel source = open_text_model(arguments.path("MODEL"), arguments.globals(), kWindow);
    return eval::expert_importance(context, source.model, source.tokenizer, text,
                                   window_of(source.model));
}

void run_quantize(const Arguments& arguments, Report& report) {
    const model::Storage to = storage(arguments);
    const std::filesystem::path source = arguments.path("MODEL");
    const std::filesystem::path out = output_argument(arguments, "--out");
    Machine machine(arguments.globals());
    std::optional<double> before;
    std::string text;
    if (arguments.has("--check")) {
        text = read_file(arguments.path("--check"));
        before =
            nll(machine.context(), open_text_model(source, arguments.globals(), kWindow), text);
    }
    const model::ColumnImportance importance = importance_argument(arguments, machine.context());
    model::QuantizeResult result;
    {
        ProgressLine progress("tensors", arguments.globals().shows_progress());
        model::QuantizeOptions options{.to = to,
                                       .force = arguments.flag("--force"),
                                       .importance = importance,
                                       .progress = progress.callback()};
        if (is_gguf_file(source)) {
            const auto file = checkpoint::Gguf::open(source);
            if (!arguments.flag("--no-tokenizer")) {
                options.files = gguf_tokenizer_files(file, model::gguf_config(file).config);
            }
            result = model::quantize_gguf(machine.context(), source, out, options);
        } else {
            result = model::quantize_model(machine.context(), source, out, options);
        }
    }
    report.add("tensors", result.tensors);
    report.add("bytes", result.bytes);
    report.add("bits_per_weight", result.bits_per_weight());
    report.add("max_abs_error", result.max_abs_error);
    if (before) {
        add_losses(machine.context(), open_text_model(source, arguments.globals(), kWindow),
                   open_text_model(out, arguments.globals(), kWindow), text, *before, report);
    }
    report.add("out", out.string());
}

}  // namespace

extern const Command kQuantize = {
    .name = "quantize",
    .group = Group::model,
    .summary = "A model's weights in DeepSeek's block-FP8, in INT4 and INT8, or back in bf16",
    .example = "hadal quantize runs/demo/train/model --to fp8 --out models/demo-fp8",
    .options =
        {
            {.name = "MODEL", .help = "a model directory or a GGUF file", .required = true},
            {.name = "--to",
             .value = "TYPE",
             .help = "fp8, int8, int4 (the routed experts; --rest says the others) or bf16",
             .required = true},
            {.name = "--rest",
             .value = "TYPE",
             .help = "with --to int4: int8 (default), int4 or bf16 for attention, shared experts, "
                     "dense layers and head"},
            {.name = "--out", .value = "DIR", .help = "directory to write", .required = true},
            {.name = "--calibrate",
             .value = "FILE",
             .help = "a text: INT4 scales where its activations are large are chosen with care"},
            {.name = "--check",
             .value = "FILE",
             .help = "a text: how much worse it is predicted afterwards, and how differently"},
            {.name = "--no-tokenizer", .help = "leave a GGUF file's tokenizer out"},
            {.name = "--force", .help = "replace a model that is there already"},
        },
    .run = run_quantize,
};

}  // namespace hadal::cli
