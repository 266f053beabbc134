#include "cli/model_argument.h"

#include <cstdio>

#include "cli/gguf_file.h"
#include "cli/machine.h"
#include "core/file_map.h"
#include "core/progress.h"

namespace hadal::cli {

namespace {

void require_path(const std::filesystem::path& path) {
    if (std::filesystem::exists(path)) return;
    throw Error(Error::Kind::usage, concat("no such model: ", path.string(),
                                           " (give a model directory or a GGUF file)"));
}

}  // namespace

model::ModelConfig config_argument(const Arguments& arguments, std::string_view file_option) {
    const bool preset = arguments.has("--preset"), file = arguments.has(file_option);
    if (preset == file) {
        throw Error(Error::Kind::usage,
                    concat("give either --preset or ", file_option, preset ? ", not both" : ""));
    }
    if (preset) return model::preset(arguments.text("--preset"));
    const std::filesystem::path path = arguments.path(file_option);
    require_path(path);
    if (std::filesystem::is_directory(path)) return model::read_config(path);
    return model::parse_config(read_file(path), path.string());
}

void warn_of_unknown(const std::vector<std::string>& names,
                     const std::filesystem::path& directory) {
    if (names.empty()) return;
    std::fprintf(stderr,
                 "warning: %zu tensors that config.json does not know are ignored, the first is "
                 "'%s': %s\n",
                 names.size(), names.front().c_str(), directory.c_str());
}

namespace {

model::Model open_gguf(const std::filesystem::path& path, std::optional<DType> dtype,
                       int64_t positions) {
    const auto file = checkpoint::Gguf::open(path);
    Machine machine(Globals{});  // dequantises with all threads: the disk is the limit
    std::vector<std::string> assumed;
    model::Model model;
    {
        ProgressLine progress("tensors", /*shown=*/true);
        model = model::load_gguf_model(machine.context(), file, dtype.value_or(DType::bf16),
                                       positions, &assumed, progress.callback());
    }
    for (const std::string& choice : assumed)
        std::fprintf(stderr, "note: %s: %s\n", choice.c_str(), path.c_str());
    return model;
}

}  // namespace

model::Model open_model(const std::filesystem::path& directory, const Globals& globals,
                        int64_t positions, std::optional<model::CodedWeights> coded) {
    require_path(directory);
    if (is_gguf_file(directory)) return open_gguf(directory, globals.dtype, positions);
    const model::ModelConfig config = model::read_config(directory);
    const DType stored = config.dtype == DType::f32 ? DType::f32 : DType::bf16;
    std::vector<std::string> unknown;
    model::Model model = model::load_model(
        directory, globals.dtype.value_or(stored), positions, &unknown,
        coded.value_or(globals.int8_activations ? model::CodedWeights::int8_activations
                                                : model::CodedWeights::in_place));
    warn_of_unknown(unknown, directory);
    return model;
}

model::Model scored_model_argument(const Arguments& arguments, int64_t positions,
                                   std::optional<model::CodedWeights> coded) {
    if (!arguments.flag("--fp8")) {
        return model_argument(arguments, positions, coded);
    }
    if (arguments.globals().dtype.value_or(DType::bf16) != DType::bf16) {
        throw Error(Error::Kind::usage, "--fp8 computes in bf16 besides, not in f32");
    }
    const std::filesystem::path directory = arguments.path("MODEL");
    require_path(directory);
    std::vector<std::string> unknown;
    model::Model model = model::load_fp8_model(directory, positions, &unknown);
    warn_of_unknown(unknown, directory);
    return model;
}

Option fp8_option() {
    return {.name = "--fp8",
            .help = "quantise activations too, as FP8 training does; for block-FP8 models"};
}

model::Model model_argument(const Arguments& arguments, int64_t positions,
                            std::optional<model::CodedWeights> coded) {
    return open_model(arguments.path("MODEL"), arguments.globals(), positions, coded);
}

}  // namespace hadal::cli
