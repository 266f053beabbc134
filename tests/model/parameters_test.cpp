#include "model/parameters.h"

#include "core/file_map.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

TEST_CASE("parameters: the 671B model's exact counts") {
    const ModelConfig config = preset("v3-671b");
    const ParameterCount count = count_parameters(config);
    CHECK(count.total == 671026419200);
    CHECK(count.active == 36625618432);
    CHECK(count.mtp == 11610068224);
    CHECK(count.checkpoint == 684489845504);
    CHECK(count.tensors == 91991);
    CHECK(kv_bytes_per_token(config) == 70272);
}

TEST_CASE("parameters: the V2 models' exact counts") {
    CHECK(count_parameters(preset("v3-236b")).total == 235741434880);
    CHECK(count_parameters(preset("v3-16b")).total == 15706484224);
    CHECK(kv_bytes_per_token(preset("v3-16b")) == 31104);
}

TEST_CASE("parameters: the components add up to the whole") {
    for (const std::string& name : preset_names()) {
        CAPTURE(name);
        const ParameterCount c = count_parameters(preset(name));
        CHECK(c.embedding + c.head + c.attention + c.dense_ffn + c.shared_experts +
                  c.routed_experts + c.router + c.norms ==
              c.total);
    }
}

TEST_CASE("parameters: fresh weights depend on seed and name, not on threads") {
    const ModelConfig config = preset("tiny");
    test::Machine one(1), four(4);
    Weights a = init_weights(one.context, config, DType::f32, 7),
            b = init_weights(four.context, config, DType::f32, 7);
    Weights c = init_weights(four.context, config, DType::f32, 8);
    CHECK(std::memcmp(a.embed_tokens.data(), b.embed_tokens.data(),
                      size_t(a.embed_tokens.bytes())) == 0);
    CHECK(std::memcmp(a.embed_tokens.data(), c.embed_tokens.data(),
                      size_t(a.embed_tokens.bytes())) != 0);
    CHECK(std::memcmp(a.embed_tokens.data(), a.lm_head.weight.data(),
                      size_t(a.lm_head.weight.bytes())) != 0);
    double sum = 0, squares = 0;
    for (const float value : a.embed_tokens.values<float>()) {
        sum += value;
        squares += double(value) * value;
    }
    const auto n = double(a.embed_tokens.count());
    CHECK(std::fabs(sum / n) <
          5 * config.initializer_range / std::sqrt(n));  // five standard errors
    CHECK(std::sqrt(squares / n) ==
          doctest::Approx(config.initializer_range).epsilon(5 / std::sqrt(2 * n)));
}

TEST_CASE("config: what config_text writes, parse_config reads back") {
    for (const std::string& name : preset_names()) {
        CAPTURE(name);
        const ModelConfig config = preset(name);
        const std::string text = config_text(config);
        CHECK(config_text(parse_config(text, "config.json")) == text);
    }
}

TEST_CASE("config: keys that released and re-saved files lack take the architecture's defaults") {
    const ModelConfig v3 = parse_config(
        R"({"model_type":"deepseek_v3","vocab_size":9,"hidden_size":8,"intermediate_size":8,"num_hidden_layers":2,
            "num_attention_heads":2,"kv_lora_rank":4,"q_lora_rank":null,"qk_nope_head_dim":4,"qk_rope_head_dim":2,
            "v_head_dim":4,"n_routed_experts":4,"num_experts_per_tok":2,"moe_intermediate_size":4,
            "rope_parameters":{"rope_type":"yarn","factor":4,"rope_theta":50000,"original_max_position_embeddings":32},
            "rope_scaling":null})",
        "config.json");
    CHECK(v3.scoring_func == "sigmoid");
    CHECK(v3.topk_method == "noaux_tc");
    CHECK(v3.n_group == 1);
    CHECK(v3.num_nextn_predict_layers == 0);
    CHECK(v3.q_lora_rank == 0);
    CHECK(v3.rope_theta == 50000);
    REQUIRE(v3.rope_scaling);
    CHECK(v3.rope_scaling->factor == 4);
    CHECK_FALSE(v3.block_fp8);
}

TEST_CASE("config: contradictions are named with key and value") {
    const std::string good = config_text(preset("tiny"));
    struct Case {
        const char* from;
        const char* to;
        const char* message;
    };
    const Case cases[] = {
        {"\"vocab_size\": 512", "\"vocab_size\": -1", "'vocab_size' is -1, must be at least 1"},
        {"\"hidden_size\": 96", "\"hidden_size\": 0", "'hidden_size' is 0, must be at least 1"},
        {"\"hidden_size\": 96", "\"hidden_size\": \"x\"",
         "'hidden_size' is \"x\", must be a whole number"},
        {"\"hidden_size\": 96", "\"hidden_size\": 1e3", "must be a whole number"},
        {"\"hidden_size\": 96", "\"hidden_size\": 99999999999999999999", "must be a"},
        {"\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 17",
         "'num_experts_per_tok' is 17, must be 1"},
        {"\"n_group\": 4", "\"n_group\": 3", "'n_group' is 3, must divide n_routed_experts (16)"},
        {"\"topk_group\": 2", "\"topk_group\": 5", "'topk_group' is 5, must be 1"},
        {"\"num_experts_per_tok\": 2", "\"num_experts_per_tok\": 9", "groups hold only 8 experts"},
        {"\"qk_rope_head_dim\": 16", "\"qk_rope_head_dim\": 15", "must be even"},
        {"\"scoring_func\": \"sigmoid\"", "\"scoring_func\": \"tanh\"",
         "must be sigmoid or softmax"},
        {"\"attention_bias\": false", "\"attention_bias\": true", "hadal has no biases"},
        {"\"hidden_act\": \"silu\"", "\"hidden_act\": \"gelu\"", "hadal knows silu"},
        {"deepseek_v3", "llama", "hadal runs deepseek_v3"},
        {"\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 0", "must be above 0"},
        {"{", "[", "config.json"},
    };
    for (const Case& c : cases) {
        CAPTURE(c.to);
        std::string text = good;
        const size_t at = text.find(c.from);
        REQUIRE(at != std::string::npos);
        text.replace(at, std::string_view(c.from).size(), c.to);
        try {
            parse_config(text, "config.json");
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(std::string(error.what()).find(c.message) != std::string::npos);
            CHECK(error.exit_status() == 2);
        }
    }
}

TEST_CASE("parameters: a missing tensor and a wrong shape are named, an unknown one is listed") {
    const auto directory = test::golden_path("base");
    ModelConfig config = read_config(directory);
    const auto files = checkpoint::HuggingFace::open(directory);
    std::vector<std::string> unknown;
    load_weights(config, files, DType::f32, &unknown);
    CHECK(unknown.empty());
    ModelConfig deeper = config;
    ++deeper.num_hidden_layers;
    CHECK_THROWS_WITH_AS(
        load_weights(deeper, files, DType::f32),
        doctest::Contains("tensor 'model.layers.3.input_layernorm.weight' is missing"), Error);
    ModelConfig wider = config;
    wider.vocab_size += 1;
    CHECK_THROWS_WITH_AS(
        load_weights(wider, files, DType::f32),
        doctest::Contains(
            "tensor 'model.embed_tokens.weight' is [200, 64], config.json asks for [201, 64]"),
        Error);
    ModelConfig shallower = config;
    --shallower.num_hidden_layers;
    load_weights(shallower, files, DType::f32, &unknown);
    CHECK(unknown.size() > 10);
    CHECK(unknown.front().find("model.layers.2.") == 0);
}
