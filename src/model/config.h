// config.json of a DeepSeek-V3-family model: every field under its own name, checked, with the
// defaults that `model_type` implies.
#pragma once

#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/dtype.h"
#include "ops/gate_topk.h"

namespace hadal::model {

/// YaRN (Peng et al. 2023) as `rope_scaling` gives it. Report §4.3.
struct YarnScaling {
    double factor = 40;
    int64_t original_max_position_embeddings = 4096;
    double beta_fast = 32;
    double beta_slow = 1;
    double mscale = 1;
    double mscale_all_dim = 1;
};

struct ModelConfig {
    std::string model_type = "deepseek_v3";
    int64_t vocab_size = 0;
    int64_t hidden_size = 0;
    int64_t intermediate_size = 0;      // dense feed-forward
    int64_t moe_intermediate_size = 0;  // one expert
    int64_t num_hidden_layers = 0;
    int64_t num_nextn_predict_layers = 0;  // MTP modules, after the main layers
    int64_t num_attention_heads = 0;
    int64_t n_shared_experts = 0;  // one feed-forward of n_shared_experts·moe_intermediate_size
    int64_t n_routed_experts = 0;  // 0: every layer is dense
    int64_t num_experts_per_tok = 0;
    int64_t first_k_dense_replace = 0;
    int64_t moe_layer_freq = 1;
    int64_t n_group = 1;
    int64_t topk_group = 1;
    bool norm_topk_prob = true;
    double routed_scaling_factor = 1;
    std::string scoring_func = "sigmoid";  // or "softmax"
    std::string topk_method = "noaux_tc";  // or "group_limited_greedy", "greedy"
    int64_t q_lora_rank = 0;               // 0: a single q_proj
    int64_t kv_lora_rank = 0;
    int64_t qk_nope_head_dim = 0;
    int64_t qk_rope_head_dim = 0;
    int64_t v_head_dim = 0;
    double rms_norm_eps = 1e-6;  // block norms; the latent norms use 1e-6 always
    int64_t max_position_embeddings = 4096;
    double rope_theta = 10000;
    std::optional<YarnScaling> rope_scaling;
    bool tie_word_embeddings = false;
    double initializer_range = 0.006;  // report §4.2
    std::optional<int64_t> bos_token_id;
    std::vector<int64_t> eos_token_ids;
    DType dtype = DType::bf16;  // torch_dtype of what is not quantised
    bool block_fp8 = false;     // quantization_config: E4M3 with 128×128 scales
    /// quantization_config of compressed-tensors: INT4 and INT8 in groups of 32; of which weights,
    /// the files say. Of a model that was read; config_text does not write it.
    bool packed_weights = false;

    bool is_moe_layer(int64_t layer) const {
        return n_routed_experts > 0 && layer >= first_k_dense_replace &&
               layer % moe_layer_freq == 0;
    }
    int64_t qk_head_dim() const {
        return qk_nope_head_dim + qk_rope_head_dim;
    }
    /// Elements that one token adds to the latent cache of one layer.
    int64_t latent_dim() const {
        return kv_lora_rank + qk_rope_head_dim;
    }
    /// Softmax scale of attention: qk_head_dim^-1/2 times YaRN's (0.1·mscale_all_dim·ln factor +
    /// 1)².
    double attention_scale() const;
    ops::GateOptions gate_options() const;
};

/// Parses and checks the text of a config.json. `where` (a path) goes into messages.
/// Error(bad_input) names the key, its value and what is allowed; Error(unsupported) names a
/// feature that hadal lacks (attention_bias, another model_type).
ModelConfig parse_config(std::string_view text, std::string_view where);
ModelConfig read_config(const std::filesystem::path& model_directory);

/// Throws like parse_config when sizes contradict each other.
void check_config(const ModelConfig& config, std::string_view where);

/// The text of a config.json that hadal, Transformers and serving engines read.
std::string config_text(const ModelConfig& config);

/// Known shapes: kimi-k2, tiny, mini, moonlight-16b, v3-16b, v3-236b, v3-671b. Error(usage) names
/// them all.
ModelConfig preset(std::string_view name);
std::vector<std::string> preset_names();

}  // namespace hadal::model
