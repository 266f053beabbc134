// Experts in INT4 beside INT8, and all in INT8: which weight becomes what, and what config.json
// says.
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
#include <string>

#include "core/file_map.h"
#include "formats/int4_group.h"
#include "formats/int8_group.h"
#include "model/quantize_support.h"
#include "model/save_model.h"

using namespace hadal;
using namespace hadal::model;
using checkpoint::HuggingFace;
using test::same;

namespace {

/// Rows of attention, dense and shared layers are whole groups; q_lora_rank's are not.
ModelConfig small_config() {
    ModelConfig config = preset("tiny");
    config.hidden_size = 96;
    config.intermediate_size = 192;
    config.moe_intermediate_size = 160;
    config.num_nextn_predict_layers = 1;
    config.q_lora_rank = 40;
    config.kv_lora_rank = 32;
    config.v_head_dim = 32;
    return config;
}

struct Setting : test::ModelFolder {
    explicit Setting(const ModelConfig& config = small_config()) {
        Weights weights = init_weights(machine.context, config, DType::bf16, 5);
        save_model(folder / "model", config, weights);
    }
};

/// Bits of a parameter by its name alone, written down independently of the code.
int expected_bits(const std::string& name, int experts, int rest, int head) {
    if (name == "lm_head.weight") return head;
    if (name.find(".mlp.experts.") != std::string::npos) return experts;
    if (name.ends_with("kv_b_proj.weight") || name.ends_with("eh_proj.weight") ||
        name.ends_with("q_b_proj.weight"))  // rows of 40
        return 16;
    return name.ends_with("_proj.weight") || name.ends_with("with_mqa.weight") ? rest : 16;
}

/// As compressed-tensors finds a layer's bits: its name before its class, 16 where it is ignored.
/// `is_linear`: the class of the module is torch's Linear, or the router's gate, which counts as
/// one.
int config_bits(const nlohmann::json& quantization, const std::string& layer, bool is_linear) {
    const auto matches = [&](const std::string& pattern) {
        if (!pattern.starts_with("re:")) return pattern == layer;
        return std::regex_search(layer, std::regex("^(?:" + pattern.substr(3) + ")"));
    };
    for (const auto& pattern : quantization["ignore"])
        if (matches(pattern)) return 16;
    int by_class = 16;
    for (const auto& group : quantization["config_groups"]) {
        for (const auto& target : group["targets"]) {
            if (matches(target)) return group["weights"]["num_bits"];
            if (target == "Linear" && is_linear) by_class = group["weights"]["num_bits"];
        }
    }
    return by_class;
}

}  // namespace

TEST_CASE("quantize: each recipe stores each weight in its bits, and config.json says the same") {
    struct Recipe {
        Storage to;
        int experts, rest, head;
    };
    Setting s;
    const auto before = HuggingFace::open(s.folder / "model");
    for (const Recipe& recipe :
         {Recipe{Storage::int4_experts, 4, 16, 16}, Recipe{Storage::int4_int8, 4, 8, 8},
          Recipe{Storage::int4, 4, 4, 8}, Recipe{Storage::int8, 8, 8, 8}}) {
        const std::string to = concat("to", int(recipe.to));
        const QuantizeResult result = s.quantize("model", to, {.to = recipe.to});
        const auto after = HuggingFace::open(s.folder / to);
        CHECK(result.bytes == after.tensor_bytes());
        const auto quantization =
            nlohmann::json::parse(read_file(s.folder / to / "config.json"))["quantization_config"];
        CHECK_NOTHROW(check_parameters(stored_config(after), after));
        CHECK(unknown_tensors(stored_config(after), after).empty());
        for (const auto& info : before.tensors()) {
            CAPTURE(info.name);
            const Tensor w = before.load(info.name);
            const int bits = expected_bits(info.name, recipe.experts, recipe.rest, recipe.head);
            const std::string layer = info.name.substr(0, info.name.rfind('.'));
            const bool is_linear =
                info.shape.rank() == 2 && layer.find("embed_tokens") == std::string::npos;
            CHECK(config_bits(quantization, layer, is_linear) == bits);
            const auto packed = after.packed_weight(info.name);
            REQUIRE((packed ? packed->bits : 16) == bits);
            if (bits == 16) {
                CHECK(same(after.load(info.name), w));
            } else if (bits == 8) {
                auto expected = formats::Int8Matrix::uninitialized(info.shape);
                formats::quantize_int8(w, expected);
                CHECK(same(after.load_int8(info.name).packed, expected.packed));
                CHECK(same(after.load_int8(info.name).scale, expected.scale));
            } else {
                auto expected = formats::Int4Matrix::uninitialized(info.shape);
                formats::quantize_int4(w, {}, expected);
                CHECK(same(after.load_int4(info.name).packed, expected.packed));
            }
        }
    }
}

TEST_CASE("quantize: codes that are kept are copied, and what is stored so already is refused") {
    Setting s;
    s.quantize("model", "experts", {.to = Storage::int4_experts});
    s.quantize("experts", "mixed", {.to = Storage::int4_int8});
    s.quantize("model", "at_once", {.to = Storage::int4_int8});
    CHECK(read_file(s.folder / "mixed" / "model.safetensors") ==
          read_file(s.folder / "at_once" / "model.safetensors"));
    CHECK(s.refusal("mixed", {.to = Storage::int4_int8}).find("in INT4 already") !=
          std::string::npos);
    s.quantize("model", "int8", {.to = Storage::int8});
    CHECK(s.refusal("int8", {.to = Storage::int8}).find("in INT8 already") != std::string::npos);
    // Back to experts alone: attention is unpacked, experts keep their codes.
    s.quantize("mixed", "experts_again", {.to = Storage::int4_experts});
    const auto again = HuggingFace::open(s.folder / "experts_again");
    const std::string expert = "model.layers.1.mlp.experts.3.down_proj.weight";
    CHECK(same(again.load_int4(expert).packed,
               HuggingFace::open(s.folder / "experts").load_int4(expert).packed));
    CHECK(!again.packed_weight("model.layers.1.self_attn.o_proj.weight"));
}

TEST_CASE("quantize: codes under a scale that is no number are not copied") {
    Setting s;
    s.quantize("model", "experts", {.to = Storage::int4_experts});
    const auto path = s.folder / "experts" / "model.safetensors";
    const auto files = HuggingFace::open(s.folder / "experts");
    const std::string name = "model.layers.1.mlp.experts.3.down_proj.weight";
    const auto offset = std::streamoff(files.find(name + "_scale")->offset);
    std::fstream file(path, std::ios::binary | std::ios::in | std::ios::out);
    file.seekp(offset);
    file.write("\xff\x7f", 2);  // a NaN of bf16
    file.close();
    CHECK(s.refusal("experts", {.to = Storage::int4_int8}).find(name + "' holds values that are") !=
          std::string::npos);
}

TEST_CASE("quantize: a model without routed experts becomes INT8, and tied heads stay bf16") {
    ModelConfig config = small_config();
    config.n_routed_experts = 0;
    config.num_nextn_predict_layers = 0;
    config.tie_word_embeddings = true;
    Setting s(config);
    CHECK(s.refusal("model", {.to = Storage::int4_int8}).find("--to int8") != std::string::npos);
    s.quantize("model", "int8", {.to = Storage::int8});
    const auto files = HuggingFace::open(s.folder / "int8");
    CHECK(files.packed_weight("model.layers.0.mlp.up_proj.weight")->bits == 8);
    CHECK(!files.packed_weight("model.embed_tokens.weight"));
    CHECK_NOTHROW(load_weights(stored_config(files), files, DType::bf16));
}
