// Routed experts in INT4: what is written, what it stands for, and what is refused.
#include <nlohmann/json.hpp>
#include <string>

#include "core/file_map.h"
#include "formats/bfloat16.h"
#include "formats/int4_group.h"
#include "model/quantize_support.h"
#include "model/save_model.h"

using namespace hadal;
using namespace hadal::model;
using checkpoint::HuggingFace;
using test::same;

namespace {

ModelConfig small_config() {
    ModelConfig config = preset("tiny");
    config.hidden_size = 96;
    config.moe_intermediate_size = 160;
    config.num_nextn_predict_layers = 1;
    return config;
}

struct Setting : test::ModelFolder {
    explicit Setting(const ModelConfig& config = small_config()) {
        Weights weights = init_weights(machine.context, config, DType::bf16, 5);
        save_model(folder / "model", config, weights);
    }
    QuantizeResult quantize(const std::string& from, const std::string& to, Storage storage) {
        return ModelFolder::quantize(from, to, {.to = storage});
    }
    std::string refusal(const std::string& from, Storage storage = Storage::int4_experts) {
        return ModelFolder::refusal(from, {.to = storage});
    }
};

bool is_expert(const std::string& name) {
    return name.find(".mlp.experts.") != std::string::npos;
}

}  // namespace

TEST_CASE("quantize: exactly the routed experts become INT4 in groups of 32") {
    Setting s;
    const QuantizeResult result = s.quantize("model", "int4", Storage::int4_experts);
    const auto before = HuggingFace::open(s.folder / "model");
    const auto after = HuggingFace::open(s.folder / "int4");
    CHECK(result.tensors == int64_t(after.tensors().size()));
    CHECK(result.bytes == after.tensor_bytes());
    int64_t experts = 0, weights = 0;
    float largest = 0;
    for (const auto& info : before.tensors()) {
        CAPTURE(info.name);
        weights += info.shape.count();
        const Tensor w = before.load(info.name);
        if (!is_expert(info.name)) {
            REQUIRE(same(after.load(info.name), w));
            continue;
        }
        ++experts;
        CHECK(!after.contains(info.name));
        auto expected = formats::Int4Matrix::uninitialized(info.shape);
        formats::quantize_int4(w, {}, expected);
        const formats::Int4Matrix q = after.load_int4(info.name);
        REQUIRE(same(q.packed, expected.packed));
        REQUIRE(same(q.scale, expected.scale));
        const Tensor y = after.load(info.name, DType::f32);
        for (int64_t i = 0; i < w.count(); ++i)
            largest = std::max(largest, std::abs(to_float(w.values<bf16>()[size_t(i)]) -
                                                 y.values<float>()[size_t(i)]));
    }
    REQUIRE(experts > 0);
    CHECK(result.weights == weights);
    CHECK(result.bits_per_weight() == 8.0 * double(result.bytes) / double(weights));
    CHECK(result.max_abs_error == double(largest));
    CHECK(largest > 0);
    CHECK(after.tensors().size() == before.tensors().size() + 2 * size_t(experts));
    CHECK(read_config(s.folder / "int4").packed_weights);
}

TEST_CASE("quantize: an INT4 model computes with the values of its bf16 copy, bit for bit") {
    Setting s;
    s.quantize("model", "int4", Storage::int4_experts);
    s.quantize("int4", "bf16", Storage::bf16);
    const auto copy = HuggingFace::open(s.folder / "bf16");
    const ModelConfig config = stored_config(copy);
    CHECK(!config.packed_weights);
    CHECK(copy.tensors().size() == HuggingFace::open(s.folder / "model").tensors().size());
    std::vector<std::string> unknown;
    const auto files = HuggingFace::open(s.folder / "int4");
    Weights from_codes = load_weights(stored_config(files), files, DType::bf16, &unknown);
    Weights from_values = load_weights(config, copy, DType::bf16);
    CHECK(unknown.empty());
    const auto lines = parameters(config, from_values);
    const auto coded = parameters(config, from_codes);
    REQUIRE(lines.size() == coded.size());
    for (size_t i = 0; i < lines.size(); ++i) {
        CAPTURE(lines[i].name);
        REQUIRE(same(*lines[i].tensor, *coded[i].tensor));
    }
}

TEST_CASE("quantize: INT4 and block-FP8 turn into each other") {
    Setting s;
    s.quantize("model", "int4", Storage::int4_experts);
    s.quantize("int4", "fp8", Storage::block_fp8);
    const ModelConfig fp8 = read_config(s.folder / "fp8");
    CHECK(fp8.block_fp8);
    CHECK(!fp8.packed_weights);
    s.quantize("fp8", "int4_again", Storage::int4_experts);
    const auto files = HuggingFace::open(s.folder / "int4_again");
    CHECK_NOTHROW(check_parameters(stored_config(files), files));
    for (const auto& info : files.tensors()) CHECK(!info.name.ends_with("_scale_inv"));
}

TEST_CASE("quantize: the INT4 files do not depend on threads") {
    Setting s;
    s.quantize("model", "two", Storage::int4_experts);
    test::Machine one(1);
    quantize_model(one.context, s.folder / "model", s.folder / "one",
                   {.to = Storage::int4_experts});
    CHECK(read_file(s.folder / "one" / "model.safetensors") ==
          read_file(s.folder / "two" / "model.safetensors"));
}

TEST_CASE("quantize: what INT4 cannot hold is refused by name, nothing is written") {
    ModelConfig config = small_config();
    config.moe_intermediate_size = 136;  // down_proj's rows are no whole groups
    Setting ragged(config);
    const std::string said = ragged.refusal("model");
    CHECK(said.find("experts.0.down_proj.weight' is [96, 136]") != std::string::npos);
    CHECK(said.find("whole groups of 32") != std::string::npos);

    config = small_config();
    config.n_routed_experts = 0;
    Setting dense(config);
    CHECK(dense.refusal("model").find("the model has none") != std::string::npos);

    Setting s;
    s.quantize("model", "int4", Storage::int4_experts);
    CHECK(s.refusal("int4").find("in INT4 already") != std::string::npos);
}

TEST_CASE("quantize: config.json says INT4 as compressed-tensors does, and is read again") {
    Setting s;
    s.quantize("model", "int4", Storage::int4_experts);
    const auto written = nlohmann::json::parse(read_file(s.folder / "int4" / "config.json"));
    const auto& quantization = written["quantization_config"];
    CHECK(quantization["quant_method"] == "compressed-tensors");
    CHECK(quantization["format"] == "pack-quantized");
    const auto& weights = quantization["config_groups"]["group_0"]["weights"];
    CHECK(weights["num_bits"] == 4);
    CHECK(weights["group_size"] == 32);
    CHECK(weights["strategy"] == "group");
    CHECK(weights["symmetric"] == true);
    const auto text = [&](const std::string& key, const nlohmann::json& value) {
        auto changed = written;
        auto& group = changed["quantization_config"]["config_groups"]["group_0"];
        if (key == "format") {
            changed["quantization_config"][key] = value;
        } else if (key == "config_groups") {
            changed["quantization_config"][key] = value;
        } else if (key == "input_activations" || key == "config_groups.format") {
            group[key.substr(key.find('.') + 1)] = value;
        } else {
            group["weights"][key] = value;
        }
        return changed.dump();
    };
    CHECK(parse_config(text("observer", "mse"), "x").packed_weights);
    CHECK(parse_config(text("num_bits", 8), "x").packed_weights);
    CHECK(parse_config(text("format", "mixed-precision"), "x").packed_weights);
    CHECK(parse_config(text("config_groups.format", nullptr), "x").packed_weights);
    const std::pair<std::string, nlohmann::json> wrong[] = {
        {"num_bits", 2},         {"num_bits", "4"},
        {"group_size", 128},     {"group_size", nullptr},
        {"symmetric", false},    {"type", "float"},
        {"strategy", "channel"}, {"actorder", "group"},
        {"format", "marlin"},    {"config_groups.format", "int-quantized"},
        {"format", nullptr},     {"input_activations", {{"num_bits", 8}}}};
    for (const auto& [key, value] : wrong) {
        CAPTURE(key);
        try {
            parse_config(text(key, value), "x");
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.kind() == Error::Kind::unsupported);
            CHECK(std::string(error.what()).find(key) != std::string::npos);
        }
    }
    for (const nlohmann::json& groups :
         {nlohmann::json(nullptr), nlohmann::json::object(), nlohmann::json({{"a", 3}}),
          nlohmann::json({{"a", nlohmann::json::object()}})})
        CHECK_THROWS_AS(parse_config(text("config_groups", groups), "x"), Error);
}
