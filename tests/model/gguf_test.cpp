// Models in GGUF files: against the checkpoint that the golden file was made from, and files of
// other converters and other days.
#include <algorithm>
#include <cstring>
#include <fstream>
#include <map>

#include "checkpoint/gguf_text.h"
#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"
#include "model/gguf_config.h"
#include "model/gguf_weights.h"
#include "model/save_model.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;
using checkpoint::Gguf;
using checkpoint::HuggingFace;
using test::GgufText;

namespace {

std::string bytes_of(const Tensor& tensor) {
    const auto values = tensor.values<float>();
    return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float)};
}

/// tests/golden/no_q_lora as a file of the first converters: attn_kv_b whole, real head sizes, no
/// key for groups and scoring.
class OldFile {
  public:
    OldFile() {
        keys["block_count"] = 2;
        keys["context_length"] = 4096;
        keys["embedding_length"] = 64;
        keys["feed_forward_length"] = 112;
        keys["attention.head_count"] = 4;
        keys["attention.kv_lora_rank"] = 32;
        keys["attention.key_length"] = 24;
        keys["attention.value_length"] = 16;
        keys["rope.dimension_count"] = 8;
        keys["leading_dense_block_count"] = 1;
        keys["expert_feed_forward_length"] = 20;
        keys["expert_count"] = 8;
        keys["expert_used_count"] = 3;
        keys["expert_shared_count"] = 2;
        numbers["attention.layer_norm_rms_epsilon"] = 1e-6f;
        numbers["expert_weights_scale"] = 2.446f;
        add_tensors();
    }

    Gguf open(const test::TemporaryDirectory& folder) const {
        GgufText file;
        file.text("general.architecture", architecture);
        for (const auto& [key, value] : keys) file.integer("deepseek2." + key, value);
        for (const auto& [key, value] : numbers) file.number("deepseek2." + key, value);
        for (const auto& [key, value] : texts) file.text("deepseek2." + key, value);
        file.truth("deepseek2.expert_weights_norm", true);
        for (const auto& [name, tensor] : tensors) {
            file.tensor(name, tensor.sizes, tensor.type, tensor.bytes);
        }
        const auto path = folder / "old.gguf";
        std::ofstream(path, std::ios::binary) << file.file();
        return Gguf::open(path);
    }
    /// What opening and reading it is refused with.
    std::string refused(Error::Kind kind) const {
        const test::TemporaryDirectory folder;
        const Gguf file = open(folder);
        try {
            const ModelConfig config = gguf_config(file).config;
            const GgufWeights weights(file, config);
            Weights none;
            test::Machine machine(1);
            for (const Parameter& parameter : parameters(config, none)) {
                Tensor values = Tensor::zeros(parameter.shape, DType::f32);
                weights.read(machine.context, parameter, values);
            }
        } catch (const Error& error) {
            CHECK(error.kind() == kind);
            return error.what();
        }
        FAIL_CHECK("was not refused");
        return "";
    }

    struct Line {
        std::vector<uint64_t> sizes;
        uint32_t type = 0;
        std::string bytes;
    };
    std::string architecture = "deepseek2";
    std::map<std::string, uint32_t> keys;
    std::map<std::string, float> numbers;
    std::map<std::string, std::string> texts;
    std::map<std::string, Line> tensors;

  private:
    void add_tensors() {
        const auto source = HuggingFace::open(test::golden_path("no_q_lora"));
        const auto add = [&](const std::string& name, const std::string& ours) {
            const Tensor tensor = source.load(ours, DType::f32);
            std::vector<uint64_t> sizes;
            for (int i = tensor.shape().rank(); i-- > 0;) sizes.push_back(tensor.shape()[i]);
            tensors[name] = {sizes, 0, bytes_of(tensor)};
        };
        const auto add_layer = [&](int layer, const std::string& name, const std::string& ours) {
            add(concat("blk.", layer, ".", name), concat("model.layers.", layer, ".", ours));
        };
        add("token_embd.weight", "model.embed_tokens.weight");
        add("output_norm.weight", "model.norm.weight");
        add("output.weight", "lm_head.weight");
        for (int layer = 0; layer < 2; ++layer) {
            add_layer(layer, "attn_norm.weight", "input_layernorm.weight");
            add_layer(layer, "attn_q.weight", "self_attn.q_proj.weight");
            add_layer(layer, "attn_kv_a_mqa.weight", "self_attn.kv_a_proj_with_mqa.weight");
            add_layer(layer, "attn_kv_a_norm.weight", "self_attn.kv_a_layernorm.weight");
            add_layer(layer, "attn_kv_b.weight", "self_attn.kv_b_proj.weight");
            add_layer(layer, "attn_output.weight", "self_attn.o_proj.weight");
            add_layer(layer, "ffn_norm.weight", "post_attention_layernorm.weight");
            for (const std::string part : {"gate", "up", "down"}) {
                if (layer == 0) {
                    add_layer(0, "ffn_" + part + ".weight", "mlp." + part + "_proj.weight");
                    continue;
                }
                add_layer(1, "ffn_" + part + "_shexp.weight",
                          "mlp.shared_experts." + part + "_proj.weight");
                Line& experts = tensors["blk.1.ffn_" + part + "_exps.weight"];
                for (int e = 0; e < 8; ++e) {
                    const Tensor one = source.load(
                        concat("model.layers.1.mlp.experts.", e, ".", part, "_proj.weight"),
                        DType::f32);
                    experts.sizes = {uint64_t(one.shape()[1]), uint64_t(one.shape()[0]), 8};
                    experts.bytes += bytes_of(one);
                }
            }
        }
        add_layer(1, "ffn_gate_inp.weight", "mlp.gate.weight");
        add_layer(1, "exp_probs_b.bias", "mlp.gate.e_score_correction_bias");
    }
};

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// Every parameter of `file` as the checkpoint in `directory` has it, bit for bit in `dtype`.
void check_equal(const Gguf& file, const std::filesystem::path& directory, DType dtype) {
    const auto source = HuggingFace::open(directory);
    const ModelConfig config = gguf_config(file).config;
    const GgufWeights weights(file, config);
    test::Machine machine(3);
    Weights none;
    for (const Parameter& parameter : parameters(config, none)) {
        CAPTURE(parameter.name);
        const DType type = parameter_dtype(parameter, dtype);
        Tensor values = Tensor::zeros(parameter.shape, type);
        weights.read(machine.context, parameter, values);
        const Tensor expected = source.load(parameter.name, type);
        CHECK(expected.shape() == parameter.shape);
        const auto bytes = size_t(parameter.shape.count() * size_of(type));
        CHECK(std::memcmp(values.data(), expected.data(), bytes) == 0);
    }
}

}  // namespace

TEST_CASE("gguf: the golden file has the configuration that it was made from") {
    const auto [config, assumed] = gguf_config(Gguf::open(test::golden_path("gguf/model.gguf")));
    ModelConfig expected = read_config(test::golden_path("mtp"));
    expected.dtype = config.dtype;
    expected.initializer_range = config.initializer_range;  // files do not say it
    CHECK(config_text(config) == config_text(expected));
    CHECK(assumed.empty());
}

TEST_CASE("gguf: the golden file's weights are those that it was made from, bit for bit") {
    const Gguf file = Gguf::open(test::golden_path("gguf/model.gguf"));
    check_equal(file, test::golden_path("mtp"), DType::f32);
    check_equal(file, test::golden_path("mtp"), DType::bf16);
}

TEST_CASE("gguf: a converted directory holds the checkpoint's tensors, MTP's copies among them") {
    const Gguf file = Gguf::open(test::golden_path("gguf/model.gguf"));
    const ModelConfig config = gguf_config(file).config;
    const GgufWeights weights(file, config);
    const test::TemporaryDirectory folder;
    test::Machine machine;
    save_filled_model(folder / "m", config, DType::f32,
                      [&](const Parameter& parameter, Tensor& values) {
                          weights.read(machine.context, parameter, values);
                      });
    check_parameters(config, HuggingFace::open(folder / "m"));
    const auto ours = HuggingFace::open(folder / "m");
    const auto theirs = HuggingFace::open(test::golden_path("mtp"));
    CHECK(ours.tensors().size() == theirs.tensors().size());
    for (const auto& info : theirs.tensors()) {
        CAPTURE(info.name);
        CHECK(bytes_of(ours.load(info.name, DType::f32)) ==
              bytes_of(theirs.load(info.name, DType::f32)));
    }
}

TEST_CASE("gguf: files of the first converters are read, and what they leave open is said") {
    const test::TemporaryDirectory folder;
    const Gguf file = OldFile().open(folder);
    const auto [config, assumed] = gguf_config(file);
    CHECK(config.q_lora_rank == 0);
    CHECK(config.scoring_func == "sigmoid");
    CHECK(config.topk_method == "noaux_tc");
    CHECK(config.qk_nope_head_dim == 16);
    CHECK(config.routed_scaling_factor == 2.446);
    REQUIRE(assumed.size() == 2);
    CHECK(contains(assumed[0], "n_group 1: the file has no deepseek2.expert_group_count"));
    CHECK(contains(assumed[1], "2: the file has no deepseek2.expert_gating_func"));
    check_equal(file, test::golden_path("no_q_lora"), DType::f32);
}

TEST_CASE("gguf: without the router's bias a model is V2, scored by softmax") {
    OldFile old;
    old.tensors.erase("blk.1.exp_probs_b.bias");
    old.keys["expert_group_count"] = 4;
    old.keys["expert_group_used_count"] = 2;
    const test::TemporaryDirectory folder;
    const ModelConfig config = gguf_config(old.open(folder)).config;
    CHECK(config.model_type == "deepseek_v2");
    CHECK(config.scoring_func == "softmax");
    CHECK(config.topk_method == "group_limited_greedy");
    old.keys["expert_gating_func"] = 2;
    CHECK(contains(old.refused(Error::Kind::corrupt_file), "exp_probs_b.bias"));
}

TEST_CASE("gguf: experts in blocks are cut apart where one ends") {
    OldFile old;
    auto& experts = old.tensors.at("blk.1.ffn_up_exps.weight");  // 8 × [20, 64]
    experts.type = 8;                                            // Q8_0: 34 bytes for 32
    experts.bytes.clear();
    for (int block = 0; block < 8 * 20 * 2; ++block) {
        const uint16_t one = 0x3C00;
        experts.bytes.append(reinterpret_cast<const char*>(&one), 2);
        for (int i = 0; i < 32; ++i) experts.bytes += char(block / 40 * 16 + block % 2 * 8 - 60);
    }
    const test::TemporaryDirectory folder;
    const Gguf file = old.open(folder);
    const ModelConfig config = gguf_config(file).config;
    const GgufWeights weights(file, config);
    Weights none;
    test::Machine machine(2);
    for (const Parameter& parameter : parameters(config, none)) {
        if (!contains(parameter.name, "experts.6.up_proj")) continue;
        Tensor values = Tensor::zeros(parameter.shape, DType::f32);
        weights.read(machine.context, parameter, values);
        for (int64_t row = 0; row < 20; ++row) {
            CHECK(values.row<float>(row)[0] == 36);
            CHECK(values.row<float>(row)[63] == 44);
        }
    }
}

TEST_CASE("gguf: YaRN's factor of attention is read as the tenth that files hold") {
    for (const auto& [tenth, whole] : {std::pair{0.1f, 1.0}, {0.0707f, 0.707}}) {
        OldFile old;
        old.texts["rope.scaling.type"] = "yarn";
        old.numbers["rope.scaling.factor"] = 40;
        old.keys["rope.scaling.original_context_length"] = 4096;
        CHECK(contains(old.refused(Error::Kind::corrupt_file), "yarn_log_multiplier"));
        old.numbers["rope.scaling.yarn_log_multiplier"] = tenth;
        const test::TemporaryDirectory folder;
        const ModelConfig config = gguf_config(old.open(folder)).config;
        REQUIRE(config.rope_scaling);
        CHECK(config.rope_scaling->factor == 40);
        CHECK(config.rope_scaling->mscale_all_dim == doctest::Approx(whole).epsilon(1e-12));
        CHECK(config.rope_scaling->mscale == config.rope_scaling->mscale_all_dim);
    }
    OldFile linear;
    linear.texts["rope.scaling.type"] = "linear";
    CHECK(contains(linear.refused(Error::Kind::unsupported), "'linear'"));
}

TEST_CASE("gguf: a converter that counts modules and leaves their weights out is understood") {
    OldFile old;
    old.keys["nextn_predict_layers"] = 1;
    for (const uint32_t blocks : {2u, 3u}) {
        CAPTURE(blocks);
        old.keys["block_count"] = blocks;
        const test::TemporaryDirectory folder;
        const ModelConfig config = gguf_config(old.open(folder)).config;
        CHECK(config.num_hidden_layers == 2);
        CHECK(config.num_nextn_predict_layers == 0);
    }
}

TEST_CASE("gguf: what does not fit together is refused by name") {
    const auto with = [](auto change, Error::Kind kind = Error::Kind::corrupt_file) {
        OldFile old;
        change(old);
        return old.refused(kind);
    };
    CHECK(contains(with([](OldFile& f) { f.architecture = "llama"; }, Error::Kind::unsupported),
                   "architecture llama"));
    CHECK(contains(with([](OldFile& f) { f.keys.erase("attention.kv_lora_rank"); }),
                   "lacks the key 'deepseek2.attention.kv_lora_rank'"));
    CHECK(contains(with([](OldFile& f) { f.tensors.erase("blk.0.ffn_up.weight"); }),
                   "lacks the tensor 'blk.0.ffn_up.weight'"));
    CHECK(contains(with([](OldFile& f) { f.tensors.erase("token_embd.weight"); }),
                   "token_embd.weight"));
    CHECK(contains(with([](OldFile& f) { f.tensors.at("blk.0.ffn_up.weight").sizes = {112, 64}; }),
                   "'blk.0.ffn_up.weight' is [64, 112], the keys make it [112, 64]"));
    CHECK(contains(with([](OldFile& f) { f.keys["expert_count"] = 2'000'000'000; }),
                   "'blk.1.ffn_up_exps.weight' of 2000000000 experts"));
    CHECK(contains(with([](OldFile& f) { f.keys["block_count"] = 2'000'000'000; }),
                   "claims 2000000000 blocks"));
    CHECK(contains(with([](OldFile& f) { f.keys["nextn_predict_layers"] = 2; }), "no layer"));
    CHECK(contains(
        with([](OldFile& f) { f.keys["expert_gating_func"] = 7; }, Error::Kind::unsupported),
        "function 7"));
    CHECK(contains(with([](OldFile& f) { f.numbers["attention.temperature_scale"] = 0.1f; },
                        Error::Kind::unsupported),
                   "temperature"));
    CHECK(contains(
        with([](OldFile& f) { f.keys["rope.dimension_count"] = 24; }, Error::Kind::bad_input),
        "qk_nope_head_dim"));
    CHECK(contains(with(
                       [](OldFile& f) {
                           f.tensors["blk.0.attn_q.bias"] = {
                               {8}, 0, "01234567890123456789012345678901"};
                       },
                       Error::Kind::unsupported),
                   "'blk.0.attn_q.bias' has no place"));
    CHECK(contains(with([](OldFile& f) {
                       const float nan = NAN;
                       std::memcpy(f.tensors.at("blk.0.ffn_down.weight").bytes.data() + 40, &nan,
                                   4);
                   }),
                   "'blk.0.ffn_down.weight' holds values that are not finite"));
}
