#include "model/save_model.h"

#include <algorithm>
#include <map>

#include "checkpoint/hugging_face_writer.h"

namespace hadal::model {

namespace {

/// The configuration of what is written: its type and its quantisation.
ModelConfig written_config(const ModelConfig& config, DType dtype, bool block_fp8) {
    ModelConfig written = config;
    written.dtype = dtype;
    written.block_fp8 = block_fp8;
    written.packed_weights = false;
    return written;
}

/// config.json and the further files.
void add_files(const ModelConfig& written, const SaveOptions& options,
               checkpoint::HuggingFaceWriter& writer) {
    writer.add_file("config.json", config_text(written));
    for (const auto& [name, content] : options.files) writer.add_file(name, content);
}

}  // namespace

void save_model(const std::filesystem::path& directory, const ModelConfig& config, Weights& weights,
                const SaveOptions& options) {
    const ModelConfig written =
        written_config(config, weights.embed_tokens.dtype(), has_block_codes(weights));
    std::vector<checkpoint::TensorSpec> specs;
    checkpoint_tensors(written, weights, [&](const std::string& name, const Tensor& tensor) {
        specs.push_back({name, tensor.dtype(), tensor.shape()});
    });
    checkpoint::HuggingFaceWriter writer(directory, specs, {.force = options.force});
    add_files(written, options, writer);
    checkpoint_tensors(written, weights, [&](const std::string& name, const Tensor& tensor) {
        writer.add(name, tensor);
    });
    writer.finish();
}

void save_filled_model(const std::filesystem::path& directory, const ModelConfig& config,
                       DType dtype, const FillParameter& fill, const SaveOptions& options) {
    // Parameters without memory tell by their address which of them a name of the checkpoint is:
    // the MTP modules repeat embedding and head.
    Weights none;
    const std::vector<Parameter> table = parameters(config, none);
    std::map<const Tensor*, const Parameter*> parameter_of;
    int64_t largest = 0;
    for (const Parameter& parameter : table) {
        parameter_of[parameter.tensor] = &parameter;
        largest = std::max(largest, parameter.shape.count());
    }
    if (config.tie_word_embeddings)
        parameter_of[&none.lm_head.weight] = parameter_of[&none.embed_tokens];
    struct Line {
        checkpoint::TensorSpec spec;
        const Parameter& parameter;
    };
    std::vector<Line> lines;
    std::vector<checkpoint::TensorSpec> specs;
    checkpoint_tensors(config, none, [&](const std::string& name, const Tensor& tensor) {
        const Parameter& parameter = *parameter_of.at(&tensor);
        specs.push_back({name, parameter_dtype(parameter, dtype), parameter.shape});
        lines.push_back({specs.back(), parameter});
    });
    checkpoint::HuggingFaceWriter writer(directory, specs, {.force = options.force});
    add_files(written_config(config, dtype, /*block_fp8=*/false), options, writer);
    int64_t done = 0;
    // One memory for all: a page costs more to get from the system than to fill.
    const Tensor space = Tensor::uninitialized({largest}, dtype);
    for (const auto& [spec, parameter] : lines) {
        Tensor values = spec.dtype == dtype ? space.rows(0, spec.shape.count()).reshaped(spec.shape)
                                            : Tensor::uninitialized(spec.shape, spec.dtype);
        fill(parameter, values);
        writer.add(spec.name, values);
        if (options.progress) options.progress(++done, int64_t(lines.size()));
    }
    writer.finish();
}

void save_fresh_model(Context& context, const std::filesystem::path& directory,
                      const ModelConfig& config, DType dtype, uint64_t seed,
                      const SaveOptions& options) {
    save_filled_model(
        directory, config, dtype,
        [&](const Parameter& parameter, Tensor& values) {
            fill_fresh(context, config, parameter, seed, values);
        },
        options);
}

}  // namespace hadal::model
