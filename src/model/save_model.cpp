#include "model/save_model.h"

#include "checkpoint/hugging_face_writer.h"

namespace hadal::model {

void save_model(const std::filesystem::path& directory, const ModelConfig& config, Weights& weights,
                const SaveOptions& options) {
    std::vector<checkpoint::TensorSpec> specs;
    checkpoint_tensors(config, weights, [&](const std::string& name, const Tensor& tensor) {
        specs.push_back({name, tensor.dtype(), tensor.shape()});
    });
    checkpoint::HuggingFaceWriter writer(directory, specs, {.force = options.force});
    ModelConfig written = config;
    written.dtype = weights.embed_tokens.dtype();
    written.block_fp8 = false;
    writer.add_file("config.json", config_text(written));
    for (const auto& [name, content] : options.files) writer.add_file(name, content);
    checkpoint_tensors(config, weights, [&](const std::string& name, const Tensor& tensor) {
        writer.add(name, tensor);
    });
    writer.finish();
}

}  // namespace hadal::model
