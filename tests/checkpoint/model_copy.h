// Copies of a model directory through our own writer, and comparison by bytes.
#pragma once

#include <cstring>
#include <filesystem>
#include <vector>

#include "checkpoint/hugging_face.h"
#include "checkpoint/hugging_face_writer.h"

namespace hadal::test {

inline bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

inline std::vector<checkpoint::TensorSpec> specs_of(const checkpoint::HuggingFace& model) {
    std::vector<checkpoint::TensorSpec> specs;
    for (const checkpoint::TensorInfo& tensor : model.tensors()) {
        specs.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
    return specs;
}

inline void write_copy(const checkpoint::HuggingFace& model, const std::filesystem::path& directory,
                       const checkpoint::HuggingFaceOptions& options) {
    checkpoint::HuggingFaceWriter writer(directory, specs_of(model), options);
    writer.add_file("config.json", model.config_text());
    for (const checkpoint::TensorInfo& tensor : model.tensors())
        writer.add(tensor.name, model.load(tensor.name));
    writer.finish();
}

}  // namespace hadal::test
