#include "checkpoint/v3_layout.h"

#include <cstdio>
#include <fstream>

#include "core/error.h"

namespace hadal::test {

namespace {

using checkpoint::TensorSpec;

constexpr int64_t kHidden = 7168;
constexpr int64_t kVocabulary = 129280;

class Layout {
  public:
    std::vector<TensorSpec> take() {
        return std::move(tensors_);
    }
    void plain(const std::string& name, Shape shape, DType dtype = DType::bf16) {
        tensors_.push_back({name, dtype, shape});
    }
    /// A float8 weight and its scales.
    void linear(const std::string& name, int64_t rows, int64_t columns) {
        tensors_.push_back({name + ".weight", DType::f8_e4m3, {rows, columns}});
        tensors_.push_back(
            {name + ".weight_scale_inv", DType::f32, {(rows + 127) / 128, (columns + 127) / 128}});
    }
    void feed_forward(const std::string& name, int64_t width) {
        linear(name + ".gate_proj", width, kHidden);
        linear(name + ".up_proj", width, kHidden);
        linear(name + ".down_proj", kHidden, width);
    }
    void layer(int index) {
        const std::string name = "model.layers." + std::to_string(index);
        plain(name + ".input_layernorm.weight", {kHidden});
        plain(name + ".post_attention_layernorm.weight", {kHidden});
        linear(name + ".self_attn.q_a_proj", 1536, kHidden);
        plain(name + ".self_attn.q_a_layernorm.weight", {1536});
        linear(name + ".self_attn.q_b_proj", 24576, 1536);
        linear(name + ".self_attn.kv_a_proj_with_mqa", 576, kHidden);
        plain(name + ".self_attn.kv_a_layernorm.weight", {512});
        linear(name + ".self_attn.kv_b_proj", 32768, 512);
        linear(name + ".self_attn.o_proj", kHidden, 16384);
        if (index < 3) return feed_forward(name + ".mlp", 18432);
        plain(name + ".mlp.gate.weight", {256, kHidden});
        plain(name + ".mlp.gate.e_score_correction_bias", {256}, DType::f32);
        feed_forward(name + ".mlp.shared_experts", 2048);
        for (int e = 0; e < 256; ++e) {
            feed_forward(name + ".mlp.experts." + std::to_string(e), 2048);
        }
    }

  private:
    std::vector<TensorSpec> tensors_;
};

std::string file_name(int64_t index) {
    char name[64];
    std::snprintf(name, sizeof name, "model-%05d-of-%06d.safetensors", int(index + 1),
                  int(kV3Files));
    return name;
}

void write_sparse_file(const std::filesystem::path& path, const std::vector<TensorSpec>& tensors) {
    std::string header = R"({"__metadata__":{"format":"pt"})";
    int64_t position = 0;
    for (const TensorSpec& tensor : tensors) {
        const std::string shape = tensor.shape.rank() == 1
                                      ? std::to_string(tensor.shape[0])
                                      : concat(tensor.shape[0], ",", tensor.shape[1]);
        header += concat(",\"", tensor.name, "\":{\"dtype\":\"",
                         checkpoint::safetensors_name(tensor.dtype), "\",\"shape\":[", shape,
                         "],\"data_offsets\":[", position, ",", position + tensor.bytes(), "]}");
        position += tensor.bytes();
    }
    header += '}';
    const auto length = uint64_t(header.size());
    {
        std::ofstream file(path, std::ios::binary);
        for (int i = 0; i < 8; ++i) file.put(char((length >> (8 * i)) & 0xFF));
        file << header;
    }
    std::filesystem::resize_file(path, 8 + length + uint64_t(position));
}

}  // namespace

std::vector<TensorSpec> v3_tensors() {
    Layout layout;
    layout.plain("model.embed_tokens.weight", {kVocabulary, kHidden});
    for (int i = 0; i < 61; ++i) layout.layer(i);
    layout.plain("model.norm.weight", {kHidden});
    layout.plain("lm_head.weight", {kVocabulary, kHidden});
    const std::string multi_token = "model.layers.61";
    layout.plain(multi_token + ".embed_tokens.weight", {kVocabulary, kHidden});
    layout.plain(multi_token + ".enorm.weight", {kHidden});
    layout.plain(multi_token + ".hnorm.weight", {kHidden});
    layout.plain(multi_token + ".eh_proj.weight", {kHidden, 2 * kHidden});
    layout.layer(61);
    layout.plain(multi_token + ".shared_head.norm.weight", {kHidden});
    layout.plain(multi_token + ".shared_head.head.weight", {kVocabulary, kHidden});
    return layout.take();
}

void write_v3_layout(const std::filesystem::path& directory) {
    const std::vector<TensorSpec> tensors = v3_tensors();
    int64_t total = 0;
    for (const TensorSpec& tensor : tensors) total += tensor.bytes();
    std::vector<std::vector<TensorSpec>> files{size_t(kV3Files)};
    std::string index = "{\n  \"metadata\": {},\n  \"weight_map\": {";
    int64_t position = 0;
    for (const TensorSpec& tensor : tensors) {
        const int64_t file = int64_t(double(position) / double(total) * double(kV3Files));
        files[size_t(file)].push_back(tensor);
        index += concat(position == 0 ? "" : ",", "\n    \"", tensor.name, "\": \"",
                        file_name(file), "\"");
        position += tensor.bytes();
    }
    std::filesystem::create_directories(directory);
    for (int64_t i = 0; i < kV3Files; ++i) {
        write_sparse_file(directory / file_name(i), files[size_t(i)]);
    }
    std::ofstream(directory / "model.safetensors.index.json") << index << "\n  }\n}\n";
    std::ofstream(directory / "config.json") << "{}\n";
}

}  // namespace hadal::test
