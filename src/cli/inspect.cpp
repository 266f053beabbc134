// `hadal inspect`: what a model weighs, or which snapshots a run has. Reads config.json and
// headers, and weights only with --check.
#include <map>

#include "checkpoint/gguf.h"
#include "cli/arguments.h"
#include "cli/gguf_file.h"
#include "cli/inspect_snapshots.h"
#include "cli/machine.h"
#include "cli/model_argument.h"
#include "cli/report.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "ops/reduce.h"

namespace hadal::cli {

namespace {

void add_counts(const model::ModelConfig& config, Report& report) {
    const model::ParameterCount count = model::count_parameters(config);
    report.add("parameters", count.total);
    report.add("active_parameters", count.active);
    report.add("mtp_parameters", count.mtp);
    report.add("checkpoint_parameters", count.checkpoint);
    report.add("embedding", count.embedding);
    report.add("head", count.head);
    report.add("attention", count.attention);
    report.add("dense_feed_forward", count.dense_ffn);
    report.add("shared_experts", count.shared_experts);
    report.add("routed_experts", count.routed_experts);
    report.add("router", count.router);
    report.add("norms", count.norms);
    report.add("kv_bytes_per_token", model::kv_bytes_per_token(config));
}

bool holds_numbers(DType dtype) {
    return dtype == DType::f64 || dtype == DType::f32 || dtype == DType::bf16 ||
           dtype == DType::f16 || dtype == DType::f8_e4m3;
}

/// Names, shapes and types of the directory against the configuration; no weight is read.
void check_tensors(const checkpoint::HuggingFace& files) {
    const model::ModelConfig config = model::stored_config(files);
    model::check_parameters(config, files);
    model::Weights none;
    for (const model::Parameter& parameter : model::parameters(config, none)) {
        const checkpoint::TensorInfo* stored = files.find(parameter.name);
        if (stored == nullptr) continue;  // packed, which check_parameters has looked at
        const checkpoint::TensorInfo& info = *stored;
        if (!holds_numbers(info.dtype)) {
            throw Error(
                Error::Kind::corrupt_file,
                concat("tensor '", parameter.name, "' is of type ", name(info.dtype),
                       ", weights are f32, bf16, f16 or f8_e4m3: ", files.path_of(info).string()));
        }
    }
}

void check_values(Context& context, const checkpoint::HuggingFace& files) {
    for (const checkpoint::TensorInfo& info : files.tensors()) {
        if (info.dtype == DType::i32 || info.dtype == DType::i64) {
            // INT4, INT8: every code is a number, but the sizes beside them may be wrong.
            const std::string_view weight = files.packed_weight_of(info.name);
            if (weight.empty()) continue;
            if (files.packed_weight(weight)->bits == 4) {
                files.load_int4(weight);
            } else {
                files.load_int8(weight);
            }
            continue;
        }
        Tensor tensor = files.load(info.name);
        if (tensor.dtype() == DType::f8_e4m3) tensor = files.load(info.name, DType::f32);
        if (!ops::all_finite(context, tensor)) {
            throw Error(Error::Kind::corrupt_file,
                        concat("tensor '", info.name,
                               "' holds NaN or infinity: ", files.path_of(info).string(),
                               " (fetch this file again, or go back to an earlier snapshot)"));
        }
    }
}

/// Reads every weight in float32; the first that is not finite is an error.
void check_gguf_values(Context& context, const model::GgufWeights& weights,
                       const model::ModelConfig& config) {
    model::Weights none;
    for (const model::Parameter& parameter : model::parameters(config, none)) {
        Tensor values = Tensor::uninitialized(parameter.shape, DType::f32);
        weights.read(context, parameter, values);
    }
}

void inspect_gguf(const Arguments& arguments, Report& report) {
    const auto file = checkpoint::Gguf::open(arguments.path("MODEL"));
    const auto [config, assumed] = model::gguf_config(file);
    const model::GgufWeights weights(file, config);
    add_counts(config, report);
    report.add("tensors", file.tensors().size());
    int64_t bytes = 0, values = 0;
    std::map<std::string_view, std::pair<int64_t, int64_t>> by_type;  // tensors, bytes
    for (const checkpoint::GgufTensor& tensor : file.tensors()) {
        auto& sums = by_type[formats::ggml_type_name(uint32_t(tensor.type))];
        ++sums.first;
        sums.second += tensor.bytes;
        bytes += tensor.bytes;
        values += tensor.shape.count();
    }
    report.add("bytes", bytes);
    report.add("bits_per_weight", 8 * double(bytes) / double(values));
    for (const auto& [type, sums] : by_type) {
        report.add_row(
            "dtypes",
            Record().add("dtype", type).add("tensors", sums.first).add("bytes", sums.second));
    }
    for (const std::string& choice : assumed)
        report.add_row("assumed", Record().add("setting", choice));
    if (!arguments.flag("--check")) return;
    Machine machine(arguments.globals());
    check_gguf_values(machine.context(), weights, config);
    report.add("finite", true);
}

/// As the table of types names it: codes by their bits, not by the words that they are packed in.
std::string_view stored_type(const checkpoint::HuggingFace& files,
                             const checkpoint::TensorInfo& info) {
    const std::string_view weight =
        info.name.ends_with("_packed") ? files.packed_weight_of(info.name) : "";
    if (weight.empty()) return name(info.dtype);
    return files.packed_weight(weight)->bits == 4 ? "int4" : "int8";
}

void run_inspect(const Arguments& arguments, Report& report) {
    if (arguments.has("MODEL") && holds_snapshots(arguments.path("MODEL"))) {
        return inspect_snapshots(arguments.path("MODEL"), arguments.flag("--check"), report);
    }
    if (arguments.has("MODEL") && is_gguf_file(arguments.path("MODEL")))
        return inspect_gguf(arguments, report);
    const model::ModelConfig config = config_argument(arguments, "MODEL");
    add_counts(config, report);
    if (arguments.has("--preset")) {
        report.add("tensors", model::count_parameters(config).tensors);
        return;
    }
    const auto files = checkpoint::HuggingFace::open(arguments.path("MODEL"));
    check_tensors(files);
    warn_of_unknown(model::unknown_tensors(config, files), files.directory());
    report.add("tensors", files.tensors().size());
    report.add("files", files.num_files());
    report.add("bytes", files.tensor_bytes());
    const auto stored = model::count_parameters(model::stored_config(files));
    report.add("bits_per_weight", 8 * double(files.tensor_bytes()) / double(stored.checkpoint));
    std::map<std::string_view, std::pair<int64_t, int64_t>> by_type;  // tensors, bytes
    for (const checkpoint::TensorInfo& info : files.tensors()) {
        auto& sums = by_type[stored_type(files, info)];
        ++sums.first;
        sums.second += info.bytes();
    }
    for (const auto& [dtype, sums] : by_type) {
        report.add_row(
            "dtypes",
            Record().add("dtype", dtype).add("tensors", sums.first).add("bytes", sums.second));
    }
    if (!arguments.flag("--check")) return;
    Machine machine(arguments.globals());
    check_values(machine.context(), files);
    report.add("finite", true);
}

}  // namespace

extern const Command kInspect = {
    .name = "inspect",
    .group = Group::model,
    .summary = "Parameters, bytes and tensors of a model",
    .example = "hadal inspect --preset v3-671b",
    .options =
        {
            {.name = "MODEL",
             .help = "a model directory or a GGUF file; or a run, or one of its snapshots"},
            {.name = "--preset", .value = "NAME", .help = "a known shape instead of a directory"},
            {.name = "--check",
             .help = "read every weight and look for NaN and infinity; of snapshots, compare "
                     "every tensor with its digest"},
        },
    .run = run_inspect,
};

}  // namespace hadal::cli
