// Shapes of known models, and two small ones for a laptop. v3-facts: report §4.2; V2 report for
// v3-16b and v3-236b.
#include <array>

#include "core/error.h"
#include "core/nearest_name.h"
#include "model/config.h"

namespace hadal::model {

namespace {

ModelConfig small(int64_t hidden, int64_t layers, int64_t heads) {
    ModelConfig c;
    c.hidden_size = hidden;
    c.num_hidden_layers = layers;
    c.num_attention_heads = heads;
    c.num_nextn_predict_layers = 1;
    c.first_k_dense_replace = 1;
    c.n_group = 4;
    c.topk_group = 2;
    c.routed_scaling_factor = 2.5;
    c.qk_nope_head_dim = 32;
    c.qk_rope_head_dim = 16;
    c.v_head_dim = 32;
    c.max_position_embeddings = 4096;
    c.initializer_range = 0.02;
    c.bos_token_id = 0;
    c.eos_token_ids = {1};
    return c;
}

/// About 1 million parameters: tests.
ModelConfig tiny() {
    ModelConfig c = small(96, 3, 4);
    c.vocab_size = 512;
    c.q_lora_rank = 64;
    c.kv_lora_rank = 32;
    c.intermediate_size = 256;
    c.moe_intermediate_size = 64;
    c.n_routed_experts = 16;
    c.num_experts_per_tok = 2;
    c.n_shared_experts = 1;
    return c;
}

/// About 12 million parameters: `make demo`.
ModelConfig mini() {
    ModelConfig c = small(256, 6, 8);
    c.vocab_size = 4096;
    c.q_lora_rank = 128;
    c.kv_lora_rank = 64;
    c.intermediate_size = 704;
    c.moe_intermediate_size = 96;
    c.n_routed_experts = 16;
    c.num_experts_per_tok = 4;
    c.n_shared_experts = 1;
    return c;
}

ModelConfig released() {
    ModelConfig c;
    c.qk_nope_head_dim = 128;
    c.qk_rope_head_dim = 64;
    c.v_head_dim = 128;
    c.kv_lora_rank = 512;
    c.bos_token_id = 0;
    c.eos_token_ids = {1};
    return c;
}

ModelConfig v3_671b() {
    ModelConfig c = released();
    c.vocab_size = 129280;
    c.hidden_size = 7168;
    c.intermediate_size = 18432;
    c.moe_intermediate_size = 2048;
    c.num_hidden_layers = 61;
    c.num_nextn_predict_layers = 1;
    c.num_attention_heads = 128;
    c.n_routed_experts = 256;
    c.n_shared_experts = 1;
    c.num_experts_per_tok = 8;
    c.first_k_dense_replace = 3;
    c.n_group = 8;
    c.topk_group = 4;
    c.routed_scaling_factor = 2.5;
    c.q_lora_rank = 1536;
    c.max_position_embeddings = 163840;
    c.rope_scaling = YarnScaling{};
    c.block_fp8 = true;
    return c;
}

/// DeepSeek-V2: softmax scores, groups by their best expert, no bias.
ModelConfig v2_family() {
    ModelConfig c = released();
    c.model_type = "deepseek_v2";
    c.vocab_size = 102400;
    c.first_k_dense_replace = 1;
    c.n_shared_experts = 2;
    c.num_experts_per_tok = 6;
    c.scoring_func = "softmax";
    c.norm_topk_prob = false;
    c.max_position_embeddings = 163840;
    c.rope_scaling = YarnScaling{.mscale = 0.707, .mscale_all_dim = 0.707};
    c.bos_token_id = 100000;
    c.eos_token_ids = {100001};
    return c;
}

ModelConfig v3_236b() {
    ModelConfig c = v2_family();
    c.hidden_size = 5120;
    c.intermediate_size = 12288;
    c.moe_intermediate_size = 1536;
    c.num_hidden_layers = 60;
    c.num_attention_heads = 128;
    c.n_routed_experts = 160;
    c.n_group = 8;
    c.topk_group = 3;
    c.topk_method = "group_limited_greedy";
    c.routed_scaling_factor = 16;
    c.q_lora_rank = 1536;
    return c;
}

ModelConfig v3_16b() {
    ModelConfig c = v2_family();
    c.hidden_size = 2048;
    c.intermediate_size = 10944;
    c.moe_intermediate_size = 1408;
    c.num_hidden_layers = 27;
    c.num_attention_heads = 16;
    c.n_routed_experts = 64;
    c.topk_method = "greedy";
    return c;
}

ModelConfig moonlight_16b() {
    ModelConfig c = released();
    c.vocab_size = 163840;
    c.hidden_size = 2048;
    c.intermediate_size = 11264;
    c.moe_intermediate_size = 1408;
    c.num_hidden_layers = 27;
    c.num_attention_heads = 16;
    c.n_routed_experts = 64;
    c.n_shared_experts = 2;
    c.num_experts_per_tok = 6;
    c.first_k_dense_replace = 1;
    c.routed_scaling_factor = 2.446;
    c.rms_norm_eps = 1e-5;
    c.rope_theta = 50000;
    c.max_position_embeddings = 8192;
    c.bos_token_id = 163584;
    c.eos_token_ids = {163585};
    return c;
}

/// Kimi K2: V3's layers with more experts and fewer heads, no groups, no MTP.
ModelConfig kimi_k2() {
    ModelConfig c = v3_671b();
    c.vocab_size = 163840;
    c.num_nextn_predict_layers = 0;
    c.num_attention_heads = 64;
    c.n_routed_experts = 384;
    c.first_k_dense_replace = 1;
    c.n_group = 1;
    c.topk_group = 1;
    c.routed_scaling_factor = 2.827;
    c.rope_theta = 50000;
    c.max_position_embeddings = 131072;
    c.rope_scaling = YarnScaling{.factor = 32, .beta_fast = 1};
    c.bos_token_id = 163584;
    c.eos_token_ids = {163585};
    return c;
}

struct Preset {
    const char* name;
    ModelConfig (*make)();
};
constexpr std::array kPresets = {Preset{"kimi-k2", kimi_k2}, Preset{"tiny", tiny},
                                 Preset{"mini", mini},       Preset{"moonlight-16b", moonlight_16b},
                                 Preset{"v3-16b", v3_16b},   Preset{"v3-236b", v3_236b},
                                 Preset{"v3-671b", v3_671b}};

}  // namespace

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const Preset& preset : kPresets) names.emplace_back(preset.name);
    return names;
}

ModelConfig preset(std::string_view name) {
    std::string known;
    for (const Preset& preset : kPresets) {
        if (name == preset.name) return preset.make();
        known += concat(known.empty() ? "" : ", ", preset.name);
    }
    throw Error(Error::Kind::usage,
                concat("unknown preset '", name, "'", did_you_mean(name, preset_names()),
                       " (one of ", known, ")"));
}

}  // namespace hadal::model
