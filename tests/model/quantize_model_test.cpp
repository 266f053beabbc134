#include <cmath>
#include <nlohmann/json.hpp>
#include <string>

#include "checkpoint/hugging_face_writer.h"
#include "core/file_map.h"
#include "formats/bfloat16.h"
#include "formats/float8.h"
#include "model/quantize_support.h"
#include "model/save_model.h"

using namespace hadal;
using namespace hadal::model;
using checkpoint::HuggingFace;
using test::same;

namespace {

/// No dimension is a multiple of 128, several are larger: every block at an edge is a part of one.
ModelConfig ragged_config() {
    ModelConfig config = preset("tiny");
    config.hidden_size = 200;
    config.intermediate_size = 300;
    config.moe_intermediate_size = 136;
    config.num_nextn_predict_layers = 1;
    return config;
}

/// A fresh model with weights of very different sizes in different blocks.
struct Setting : test::ModelFolder {
    explicit Setting(DType dtype, const ModelConfig& config = ragged_config()) {
        Weights weights = init_weights(machine.context, config, dtype, 3);
        for (const Parameter& parameter : parameters(config, weights)) {
            Tensor& w = *parameter.tensor;
            for (int64_t i = 0; i < w.count(); ++i) {
                const float factor = float(std::exp2(double(i / 1000 % 9) - 4));
                if (w.dtype() == DType::f32) {
                    w.values<float>()[size_t(i)] *= factor;
                } else {
                    bf16& value = w.values<bf16>()[size_t(i)];
                    value = to_bf16(to_float(value) * factor);
                }
            }
        }
        save_model(folder / "model", config, weights);
    }

    /// The model again, every tensor through `change`; an empty result leaves it out.
    template <class Change>
    void rewrite(const std::string& name, const Change& change) {
        const auto files = HuggingFace::open(folder / "model");
        std::vector<checkpoint::TensorSpec> specs;
        std::vector<Tensor> tensors;
        for (const auto& info : files.tensors()) {
            Tensor tensor = change(info.name, files.load(info.name));
            if (tensor.empty()) continue;
            specs.push_back({info.name, tensor.dtype(), tensor.shape()});
            tensors.push_back(tensor);
        }
        checkpoint::HuggingFaceWriter writer(folder / name, specs, {.force = true});
        for (size_t i = 0; i < specs.size(); ++i) writer.add(specs[i].name, tensors[i]);
        writer.add_file("config.json", files.config_text());
        writer.finish();
    }

    std::string refusal(const std::string& from, const QuantizeOptions& options = {}) {
        return ModelFolder::refusal(from, options);
    }
};

/// By its name alone, as the report lists them: the linear maps of attention and feed-forwards.
bool linear_map(const std::string& name) {
    return name.ends_with("_proj.weight") ? name.find("eh_proj") == std::string::npos
                                          : name.ends_with("kv_a_proj_with_mqa.weight");
}

}  // namespace

TEST_CASE("quantize: exactly the linear maps become E4M3 with a scale for each block") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        CAPTURE(name(dtype));
        Setting s(dtype);
        const QuantizeResult result = s.quantize("model", "fp8", {});
        const auto before = HuggingFace::open(s.folder / "model");
        const auto after = HuggingFace::open(s.folder / "fp8");
        CHECK(result.bytes == after.tensor_bytes());
        CHECK(result.tensors == int64_t(after.tensors().size()));
        int64_t scales = 0;
        double largest = 0;
        for (const auto& info : before.tensors()) {
            CAPTURE(info.name);
            REQUIRE(after.contains(info.name));
            const Tensor w = before.load(info.name, DType::f32);
            const bool bias = info.name.ends_with("e_score_correction_bias");
            if (!linear_map(info.name)) {
                const DType wanted = bias ? DType::f32 : DType::bf16;
                CHECK(same(after.load(info.name), before.load(info.name, wanted)));
                const Tensor y = after.load(info.name, DType::f32);
                for (int64_t i = 0; i < w.count(); ++i)
                    largest = std::max(largest, double(std::abs(w.values<float>()[size_t(i)] -
                                                                y.values<float>()[size_t(i)])));
                continue;
            }
            ++scales;
            const Tensor q = after.load(info.name), scale = after.load(info.name + "_scale_inv");
            const int64_t rows = w.shape()[0], columns = w.shape()[1];
            REQUIRE(q.dtype() == DType::f8_e4m3);
            REQUIRE(scale.dtype() == DType::f32);
            REQUIRE(scale.shape() == Shape{(rows + 127) / 128, (columns + 127) / 128});
            for (int64_t bi = 0; bi < scale.shape()[0]; ++bi) {
                for (int64_t bj = 0; bj < scale.shape()[1]; ++bj) {
                    const float block = scale.row<float>(bi)[size_t(bj)];
                    float amax = 0;
                    for (int64_t i = bi * 128; i < std::min(rows, bi * 128 + 128); ++i) {
                        for (int64_t j = bj * 128; j < std::min(columns, bj * 128 + 128); ++j) {
                            const float value = w.row<float>(i)[size_t(j)];
                            const float code = to_float(q.row<f8_e4m3>(i)[size_t(j)]);
                            const double error = std::abs(double(value) - double(code) * block);
                            // Half a unit in the last of 3 bits, or half the smallest subnormal.
                            REQUIRE(error <=
                                    std::max(std::abs(double(value)) / 16, 0x1p-10 * block) *
                                        (1 + 1e-6));
                            largest = std::max(largest, double(std::abs(value - code * block)));
                            amax = std::max(amax, std::abs(value));
                        }
                    }
                    REQUIRE(block == amax / 448);
                }
            }
        }
        CHECK(result.max_abs_error == largest);
        CHECK(after.tensors().size() == before.tensors().size() + size_t(scales));
        CHECK(int64_t(after.tensors().size()) ==
              count_parameters(read_config(s.folder / "fp8")).tensors);
    }
}

TEST_CASE("quantize: back in bf16 it is the model that the codes stand for") {
    Setting s(DType::bf16);
    s.quantize("model", "fp8", {});
    const QuantizeResult result = s.quantize("fp8", "bf16", {.to = Storage::bf16});
    const auto files = HuggingFace::open(s.folder / "bf16");
    const auto codes = HuggingFace::open(s.folder / "fp8");
    CHECK(files.tensors().size() == HuggingFace::open(s.folder / "model").tensors().size());
    for (const auto& info : files.tensors()) {
        CAPTURE(info.name);
        CHECK(same(files.load(info.name), codes.load(info.name, info.dtype)));
        CHECK(info.dtype == (info.name.ends_with("correction_bias") ? DType::f32 : DType::bf16));
    }
    CHECK(result.max_abs_error > 0);  // the products have more bits than bf16
    CHECK(!read_config(s.folder / "bf16").block_fp8);
}

TEST_CASE("quantize: the file does not depend on threads, and memory is not the model's") {
    Setting s(DType::bf16);
    s.quantize("model", "fp8", {});
    test::Machine one(1);
    int64_t done = 0, total = 0;
    quantize_model(one.context, s.folder / "model", s.folder / "again",
                   {.progress = [&](int64_t now, int64_t all) {
                       CHECK(now == done + 1);
                       done = now;
                       total = all;
                   }});
    CHECK(read_file(s.folder / "again" / "model.safetensors") ==
          read_file(s.folder / "fp8" / "model.safetensors"));
    CHECK(done == total);
    CHECK(total == int64_t(HuggingFace::open(s.folder / "model").tensors().size()));
}

TEST_CASE(
    "quantize: config.json keeps its other keys, other files and unknown tensors come along") {
    Setting s(DType::bf16);
    const auto path = s.folder / "model" / "config.json";
    auto config = nlohmann::ordered_json::parse(read_file(path));
    config["auto_map"] = {{"AutoConfig", "configuration_deepseek.Config"}};
    write_file_atomically(path, config.dump());
    write_file_atomically(s.folder / "model" / "tokenizer.json", "{}");
    s.quantize("model", "fp8", {});
    auto written = nlohmann::ordered_json::parse(read_file(s.folder / "fp8" / "config.json"));
    CHECK(written["quantization_config"] ==
          nlohmann::ordered_json::parse(R"({"quant_method": "fp8", "fmt": "e4m3",
              "activation_scheme": "dynamic", "weight_block_size": [128, 128]})"));
    written.erase("quantization_config");
    CHECK(written == config);
    CHECK(read_file(s.folder / "fp8" / "tokenizer.json") == "{}");
    s.quantize("fp8", "bf16", {.to = Storage::bf16});
    CHECK(nlohmann::ordered_json::parse(read_file(s.folder / "bf16" / "config.json")) == config);
}

TEST_CASE("quantize: shards stay below the bound, weight and scale may part") {
    Setting s(DType::bf16);
    constexpr int64_t kBound = 200'000;
    s.quantize("model", "whole", {});
    s.quantize("model", "shards", {.max_shard_bytes = kBound});
    const auto whole = HuggingFace::open(s.folder / "whole");
    const auto shards = HuggingFace::open(s.folder / "shards");
    CHECK(shards.num_files() > 3);
    for (const auto& info : whole.tensors())
        CHECK(same(whole.load(info.name), shards.load(info.name)));
    int64_t largest_tensor = 0;
    for (const auto& info : whole.tensors())
        largest_tensor = std::max(largest_tensor, info.bytes());
    for (const auto& entry : std::filesystem::directory_iterator(s.folder / "shards")) {
        if (entry.path().extension() == ".safetensors")
            CHECK(int64_t(entry.file_size()) <= std::max(kBound, largest_tensor) + 20'000);
    }
}

TEST_CASE("quantize: what does not match its config.json or is damaged is refused by name") {
    Setting s(DType::bf16);
    const std::string victim = "model.layers.0.self_attn.o_proj.weight";
    s.rewrite("missing", [&](const std::string& name, const Tensor& tensor) {
        return name == victim ? Tensor() : tensor.clone();
    });
    CHECK(s.refusal("missing").find("'" + victim + "' is missing") != std::string::npos);
    s.rewrite("shape", [&](const std::string& name, const Tensor& tensor) {
        return name == victim ? tensor.rows(0, 128).clone() : tensor.clone();
    });
    CHECK(s.refusal("shape").find("config.json asks for") != std::string::npos);
    for (const uint16_t bits : {uint16_t(0x7FC0), uint16_t(0x7F80), uint16_t(0xFF80)}) {
        s.rewrite("damaged", [&](const std::string& name, const Tensor& tensor) {
            Tensor copy = tensor.clone();
            if (name == victim) copy.values<bf16>()[17].bits = bits;
            return copy;
        });
        CHECK(s.refusal("damaged").find("'" + victim + "' holds values that are not finite") !=
              std::string::npos);
    }
    s.quantize("model", "fp8", {});
    CHECK(s.refusal("fp8").find("block-FP8 already") != std::string::npos);
    CHECK_THROWS_AS(s.quantize("model", "fp8", {}), Error);
    CHECK_NOTHROW(s.quantize("model", "fp8", {.force = true}));
}
