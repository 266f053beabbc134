#include "model/gguf_config.h"

#include <algorithm>
#include <cmath>

namespace hadal::model {

namespace {

using checkpoint::Gguf;

constexpr std::string_view kArchitecture = "deepseek2";
constexpr int64_t kGatingSoftmax = 1;
constexpr int64_t kGatingSigmoid = 2;

[[noreturn]] void reject(Error::Kind kind, const Gguf& file, const std::string& what) {
    throw Error(kind, concat(what, ": ", file.path().string()));
}

/// Keys of the architecture, without its name before them.
class Keys {
  public:
    explicit Keys(const Gguf& file, std::vector<std::string>& assumed)
        : file_(file), assumed_(assumed) {}

    std::optional<int64_t> integer(std::string_view key) const {
        return file_.integer(full(key));
    }
    std::optional<double> number(std::string_view key) const {
        return file_.number(full(key));
    }
    std::optional<bool> truth(std::string_view key) const {
        return file_.truth(full(key));
    }
    std::optional<std::string_view> text(std::string_view key) const {
        return file_.text(full(key));
    }
    int64_t needed_integer(std::string_view key) const {
        return needed(integer(key), key);
    }
    double needed_number(std::string_view key) const {
        return needed(number(key), key);
    }
    template <class T>
    T needed(const std::optional<T>& value, std::string_view key) const {
        if (value) return *value;
        reject(Error::Kind::corrupt_file, file_, concat("lacks the key '", full(key), "'"));
    }
    /// `choice` of a file without the key; `name` is the setting in config.json.
    template <class T>
    T or_assume(const std::optional<T>& value, std::string_view key, std::string_view name,
                T choice) {
        if (value) return *value;
        assumed_.push_back(concat(name, " ", choice, ": the file has no ", full(key)));
        return choice;
    }
    static std::string full(std::string_view key) {
        return concat(kArchitecture, ".", key);
    }

  private:
    const Gguf& file_;
    std::vector<std::string>& assumed_;
};

bool has_tensor(const Gguf& file, std::string_view suffix) {
    return std::ranges::any_of(file.tensors(),
                               [&](const auto& tensor) { return tensor.name.ends_with(suffix); });
}

/// Blocks of the file are main layers, then MTP modules. Converters that leave the modules' weights
/// out may or may not count them, so the tensors decide.
void read_layers(const Gguf& file, const Keys& keys, ModelConfig& config) {
    const int64_t blocks = keys.needed_integer("block_count");
    const int64_t modules = keys.integer("nextn_predict_layers").value_or(0);
    if (blocks > int64_t(file.tensors().size())) {
        reject(Error::Kind::corrupt_file, file,
               concat("claims ", blocks, " blocks in ", file.tensors().size(), " tensors"));
    }
    if (modules < 0 || blocks < 1 || modules >= blocks) {
        reject(Error::Kind::corrupt_file, file,
               concat(modules, " prediction modules of ", blocks, " blocks leave no layer"));
    }
    const auto has = [&](int64_t block, std::string_view name) {
        return file.find(concat("blk.", block, ".", name)) != nullptr;
    };
    const bool last_is_module = modules > 0 && has(blocks - 1, "nextn.eh_proj.weight");
    const bool last_is_layer = !last_is_module && has(blocks - 1, "attn_norm.weight");
    config.num_hidden_layers = last_is_layer ? blocks : blocks - modules;
    config.num_nextn_predict_layers = last_is_module ? modules : 0;
}

/// Files made since the latent cache describe one cached head in key_length and value_length, and
/// the real heads under names that end in _mla; older ones have the real heads there.
void read_attention(const Keys& keys, ModelConfig& config) {
    config.num_attention_heads = keys.needed_integer("attention.head_count");
    config.q_lora_rank = keys.integer("attention.q_lora_rank").value_or(0);
    config.kv_lora_rank = keys.needed_integer("attention.kv_lora_rank");
    config.qk_rope_head_dim = keys.needed_integer("rope.dimension_count");
    const bool latent = keys.integer("attention.key_length_mla").has_value();
    const int64_t qk =
        keys.needed_integer(latent ? "attention.key_length_mla" : "attention.key_length");
    config.qk_nope_head_dim = qk - config.qk_rope_head_dim;
    config.v_head_dim =
        keys.needed_integer(latent ? "attention.value_length_mla" : "attention.value_length");
}

/// Each layer of experts must be in the file: a count that lies would fill the memory with names.
void check_expert_tensors(const Gguf& file, const ModelConfig& config) {
    const int64_t blocks = config.num_hidden_layers + config.num_nextn_predict_layers;
    for (int64_t block =
             std::clamp<int64_t>(config.first_k_dense_replace, 0, config.num_hidden_layers);
         block < blocks; ++block) {
        const std::string name = concat("blk.", block, ".ffn_up_exps.weight");
        const checkpoint::GgufTensor* experts = file.find(name);
        if (experts != nullptr && experts->shape[0] == config.n_routed_experts) continue;
        reject(Error::Kind::corrupt_file, file,
               concat("lacks the tensor '", name, "' of ", config.n_routed_experts, " experts"));
    }
}

/// The router's bias is a tensor of every model that chooses experts by sigmoid scores plus bias
/// (report eq. 16) and of no other: it tells V3 from V2 where the key of the scoring is missing.
void read_experts(const Gguf& file, Keys& keys, ModelConfig& config) {
    config.n_routed_experts = keys.integer("expert_count").value_or(0);
    if (config.n_routed_experts == 0) return;
    config.first_k_dense_replace = keys.integer("leading_dense_block_count").value_or(0);
    config.moe_intermediate_size = keys.needed_integer("expert_feed_forward_length");
    config.num_experts_per_tok = keys.needed_integer("expert_used_count");
    config.n_shared_experts = keys.integer("expert_shared_count").value_or(0);
    config.norm_topk_prob = keys.or_assume(keys.truth("expert_weights_norm"), "expert_weights_norm",
                                           "norm_topk_prob", false);
    config.routed_scaling_factor = keys.or_assume(
        keys.number("expert_weights_scale"), "expert_weights_scale", "routed_scaling_factor", 1.0);
    config.n_group = keys.or_assume<int64_t>(keys.integer("expert_group_count"),
                                             "expert_group_count", "n_group", 1);
    config.topk_group = config.n_group == 1 ? 1 : keys.needed_integer("expert_group_used_count");
    const bool biased = has_tensor(file, ".exp_probs_b.bias");
    const int64_t gating = keys.or_assume(keys.integer("expert_gating_func"), "expert_gating_func",
                                          "scoring (1 softmax, 2 sigmoid, by the router's bias)",
                                          biased ? kGatingSigmoid : kGatingSoftmax);
    if (gating != kGatingSigmoid && gating != kGatingSoftmax) {
        reject(Error::Kind::unsupported, file,
               concat("scores experts by function ", gating,
                      ", hadal knows 1 (softmax) and 2 "
                      "(sigmoid)"));
    }
    if (gating == kGatingSigmoid && !biased) {
        reject(Error::Kind::corrupt_file, file,
               "scores experts by sigmoid, but no layer has the router's bias exp_probs_b.bias");
    }
    config.scoring_func = gating == kGatingSigmoid ? "sigmoid" : "softmax";
    config.topk_method = biased               ? "noaux_tc"
                         : config.n_group > 1 ? "group_limited_greedy"
                                              : "greedy";
    config.model_type = biased ? "deepseek_v3" : "deepseek_v2";
    check_expert_tensors(file, config);
}

void read_rope(const Gguf& file, const Keys& keys, ModelConfig& config) {
    config.rope_theta = keys.number("rope.freq_base").value_or(10000);
    const std::string_view type = keys.text("rope.scaling.type").value_or("none");
    if (type == "none") return;
    if (type != "yarn") {
        reject(Error::Kind::unsupported, file,
               concat("stretches positions by '", type, "', hadal knows yarn"));
    }
    YarnScaling yarn;
    yarn.factor = keys.needed_number("rope.scaling.factor");
    yarn.original_max_position_embeddings =
        keys.needed_integer("rope.scaling.original_context_length");
    yarn.beta_fast = keys.number("rope.scaling.yarn_beta_fast").value_or(yarn.beta_fast);
    yarn.beta_slow = keys.number("rope.scaling.yarn_beta_slow").value_or(yarn.beta_slow);
    // The key holds a tenth of mscale_all_dim. In float32: 0.0707 / 0.1 must be 0.707 again.
    const auto tenth = float(keys.needed_number("rope.scaling.yarn_log_multiplier"));
    yarn.mscale_all_dim = double(std::round(tenth * 1e6f)) / 1e5;
    yarn.mscale = yarn.mscale_all_dim;  // equal in every release; files hold only one
    config.rope_scaling = yarn;
}

void read_token_ids(const Gguf& file, ModelConfig& config) {
    config.bos_token_id = file.integer("tokenizer.ggml.bos_token_id");
    if (const auto eos = file.integer("tokenizer.ggml.eos_token_id")) {
        config.eos_token_ids = {*eos};
    }
}

/// Keys of other models of this architecture, whose attention differs.
void reject_unsupported(const Gguf& file, const Keys& keys) {
    const std::string_view architecture =
        file.text("general.architecture").value_or("(none named)");
    if (architecture != kArchitecture) {
        reject(
            Error::Kind::unsupported, file,
            concat("is a model of architecture ", architecture, ", hadal reads ", kArchitecture));
    }
    if (keys.number("attention.temperature_scale").value_or(0) != 0) {
        reject(Error::Kind::unsupported, file,
               "scales attention by position (attention.temperature_scale), which hadal does not");
    }
}

}  // namespace

GgufConfig gguf_config(const Gguf& file) {
    GgufConfig result;
    ModelConfig& config = result.config;
    Keys keys(file, result.assumed);
    reject_unsupported(file, keys);
    const checkpoint::GgufTensor* embedding = file.find("token_embd.weight");
    if (embedding == nullptr) {
        reject(Error::Kind::corrupt_file, file, "lacks the tensor 'token_embd.weight'");
    }
    config.vocab_size = embedding->shape[0];
    config.hidden_size = keys.needed_integer("embedding_length");
    config.intermediate_size = keys.needed_integer("feed_forward_length");
    config.max_position_embeddings = keys.needed_integer("context_length");
    config.rms_norm_eps = keys.needed_number("attention.layer_norm_rms_epsilon");
    config.tie_word_embeddings = file.find("output.weight") == nullptr;
    read_layers(file, keys, config);
    read_attention(keys, config);
    read_experts(file, keys, config);
    read_rope(file, keys, config);
    read_token_ids(file, config);
    check_config(config, file.path().string());
    return result;
}

}  // namespace hadal::model
