#include "model/config.h"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"
#include "model/compressed_tensors.h"
#include "model/rotary_scaling.h"

namespace hadal::model {

namespace {

using nlohmann::json;

[[noreturn]] void reject(std::string_view where, std::string_view key, std::string_view problem,
                         Error::Kind kind = Error::Kind::bad_input) {
    throw Error(kind, concat(where, ": '", key, "' ", problem));
}

/// Reads typed values from one JSON object; null counts as absent.
class Fields {
  public:
    Fields(const json& object, std::string_view where) : object_(object), where_(where) {}

    const json* find(std::string_view key) const {
        const auto found = object_.find(key);
        return found == object_.end() || found->is_null() ? nullptr : &*found;
    }
    void read(std::string_view key, int64_t& value) const {
        const json* found = find(key);
        if (found == nullptr) return;
        if (!found->is_number_integer()) wrong(key, *found, "a whole number");
        if (found->is_number_unsigned() && found->get<uint64_t>() > uint64_t(INT64_MAX)) {
            wrong(key, *found, "a smaller number");
        }
        value = found->get<int64_t>();
    }
    void read(std::string_view key, double& value) const {
        const json* found = find(key);
        if (found == nullptr) return;
        if (!found->is_number()) wrong(key, *found, "a number");
        value = found->get<double>();
        if (!std::isfinite(value)) wrong(key, *found, "a finite number");
    }
    void read(std::string_view key, bool& value) const {
        const json* found = find(key);
        if (found == nullptr) return;
        if (!found->is_boolean()) wrong(key, *found, "true or false");
        value = found->get<bool>();
    }
    void read(std::string_view key, std::string& value) const {
        const json* found = find(key);
        if (found == nullptr) return;
        if (!found->is_string()) wrong(key, *found, "a text");
        value = found->get<std::string>();
    }
    /// A sub-object, or nullptr.
    const json* object(std::string_view key) const {
        const json* found = find(key);
        if (found != nullptr && !found->is_object()) wrong(key, *found, "an object");
        return found;
    }
    [[noreturn]] void wrong(std::string_view key, const json& value,
                            std::string_view wanted) const {
        reject(where_, key,
               concat("is ", value.dump(-1, ' ', false, json::error_handler_t::replace),
                      ", must be ", wanted));
    }

  private:
    const json& object_;
    std::string_view where_;
};

/// The defaults that the architecture implies where a key is absent: a checkpoint saved by
/// Transformers lacks scoring_func.
ModelConfig defaults_of(const std::string& model_type, std::string_view where) {
    ModelConfig config;
    config.model_type = model_type;
    if (model_type == "deepseek_v3" || model_type == "kimi_k2") return config;
    if (model_type == "deepseek_v2") {
        config.scoring_func = "softmax";
        config.topk_method = "greedy";
        config.norm_topk_prob = false;
        return config;
    }
    reject(where, "model_type",
           concat("is '", model_type, "', hadal runs deepseek_v3, kimi_k2 and deepseek_v2"),
           Error::Kind::unsupported);
}

void read_sizes(const Fields& fields, ModelConfig& config) {
    fields.read("vocab_size", config.vocab_size);
    fields.read("hidden_size", config.hidden_size);
    fields.read("intermediate_size", config.intermediate_size);
    fields.read("moe_intermediate_size", config.moe_intermediate_size);
    fields.read("num_hidden_layers", config.num_hidden_layers);
    fields.read("num_mtp_layers", config.num_nextn_predict_layers);  // Transformers 5's name
    fields.read("num_nextn_predict_layers", config.num_nextn_predict_layers);
    fields.read("num_attention_heads", config.num_attention_heads);
    fields.read("n_shared_experts", config.n_shared_experts);
    fields.read("n_routed_experts", config.n_routed_experts);
    fields.read("num_experts_per_tok", config.num_experts_per_tok);
    fields.read("first_k_dense_replace", config.first_k_dense_replace);
    fields.read("moe_layer_freq", config.moe_layer_freq);
    fields.read("n_group", config.n_group);
    fields.read("topk_group", config.topk_group);
    fields.read("q_lora_rank", config.q_lora_rank);
    fields.read("kv_lora_rank", config.kv_lora_rank);
    fields.read("qk_nope_head_dim", config.qk_nope_head_dim);
    fields.read("qk_rope_head_dim", config.qk_rope_head_dim);
    fields.read("v_head_dim", config.v_head_dim);
    fields.read("max_position_embeddings", config.max_position_embeddings);
}

void read_choices(const Fields& fields, ModelConfig& config) {
    fields.read("norm_topk_prob", config.norm_topk_prob);
    fields.read("routed_scaling_factor", config.routed_scaling_factor);
    fields.read("scoring_func", config.scoring_func);
    fields.read("topk_method", config.topk_method);
    fields.read("rms_norm_eps", config.rms_norm_eps);
    fields.read("tie_word_embeddings", config.tie_word_embeddings);
    fields.read("initializer_range", config.initializer_range);
}

/// `rope_scaling` of the released files, `rope_parameters` of Transformers 5, or both.
void read_rope(const Fields& fields, std::string_view where, ModelConfig& config) {
    fields.read("rope_theta", config.rope_theta);
    for (const char* key : {"rope_parameters", "rope_scaling"}) {
        const json* object = fields.object(key);
        if (object == nullptr) continue;
        const Fields rope(*object, where);
        rope.read("rope_theta", config.rope_theta);
        std::string type = "default";
        rope.read("type", type);
        rope.read("rope_type", type);
        if (type == "default") continue;
        if (type != "yarn") {
            reject(where, key, concat("has type '", type, "', hadal knows yarn"),
                   Error::Kind::unsupported);
        }
        YarnScaling yarn;
        yarn.mscale = 1;
        yarn.mscale_all_dim = 0;
        if (rope.find("factor") == nullptr) {
            reject(where, key, "is of type yarn and lacks 'factor', how much longer texts become");
        }
        rope.read("factor", yarn.factor);
        rope.read("original_max_position_embeddings", yarn.original_max_position_embeddings);
        rope.read("beta_fast", yarn.beta_fast);
        rope.read("beta_slow", yarn.beta_slow);
        rope.read("mscale", yarn.mscale);
        rope.read("mscale_all_dim", yarn.mscale_all_dim);
        config.rope_scaling = yarn;
    }
}

void read_token_ids(const Fields& fields, ModelConfig& config) {
    if (fields.find("bos_token_id") != nullptr) {
        int64_t id = 0;
        fields.read("bos_token_id", id);
        config.bos_token_id = id;
    }
    const json* eos = fields.find("eos_token_id");
    if (eos == nullptr) return;
    for (const json& id : eos->is_array() ? *eos : json::array({*eos})) {
        if (!id.is_number_integer())
            fields.wrong("eos_token_id", *eos, "a token id or a list of them");
        config.eos_token_ids.push_back(id.get<int64_t>());
    }
}

void read_dtype(const Fields& fields, std::string_view where, ModelConfig& config) {
    std::string type = "bfloat16";
    fields.read("torch_dtype", type);
    fields.read("dtype", type);  // Transformers 5's name
    if (type == "bfloat16") {
        config.dtype = DType::bf16;
    } else if (type == "float32") {
        config.dtype = DType::f32;
    } else if (type == "float16") {
        config.dtype = DType::f16;
    } else {
        reject(where, "torch_dtype",
               concat("is '", type, "', hadal knows bfloat16, float32, float16"),
               Error::Kind::unsupported);
    }
}

void read_quantization(const Fields& fields, std::string_view where, ModelConfig& config) {
    const json* quantization = fields.object("quantization_config");
    if (quantization == nullptr) return;
    const Fields quant(*quantization, where);
    std::string method;
    quant.read("quant_method", method);
    if (method == "compressed-tensors") {
        check_compressed_tensors(*quantization, where);
        config.packed_weights = true;
        return;
    }
    const json* block = quant.find("weight_block_size");
    if (method != "fp8" || (block != nullptr && *block != json::array({128, 128}))) {
        reject(where, "quantization_config",
               "is neither block-FP8 with 128×128 scales nor compressed-tensors' INT4 or INT8 in "
               "groups of 32, the quantisations that hadal reads",
               Error::Kind::unsupported);
    }
    config.block_fp8 = true;
}

/// Features of the architecture's family that no released model uses.
void reject_unsupported(const Fields& fields, std::string_view where) {
    bool attention_bias = false, rope_interleave = true;
    std::string activation = "silu";
    fields.read("attention_bias", attention_bias);
    fields.read("rope_interleave", rope_interleave);
    fields.read("hidden_act", activation);
    if (attention_bias)
        reject(where, "attention_bias", "is true, hadal has no biases", Error::Kind::unsupported);
    if (!rope_interleave) {
        reject(where, "rope_interleave",
               "is false, hadal reads interleaved pairs (the released layout)",
               Error::Kind::unsupported);
    }
    if (activation != "silu") {
        reject(where, "hidden_act", concat("is '", activation, "', hadal knows silu"),
               Error::Kind::unsupported);
    }
}

struct Bound {
    const char* key;
    int64_t value;
    int64_t least;
};

void check_bounds(const ModelConfig& c, std::string_view where) {
    const Bound bounds[] = {{"vocab_size", c.vocab_size, 1},
                            {"hidden_size", c.hidden_size, 1},
                            {"num_hidden_layers", c.num_hidden_layers, 1},
                            {"num_nextn_predict_layers", c.num_nextn_predict_layers, 0},
                            {"num_attention_heads", c.num_attention_heads, 1},
                            {"intermediate_size", c.intermediate_size, 1},
                            {"n_routed_experts", c.n_routed_experts, 0},
                            {"n_shared_experts", c.n_shared_experts, 0},
                            {"first_k_dense_replace", c.first_k_dense_replace, 0},
                            {"moe_layer_freq", c.moe_layer_freq, 1},
                            {"q_lora_rank", c.q_lora_rank, 0},
                            {"kv_lora_rank", c.kv_lora_rank, 1},
                            {"qk_nope_head_dim", c.qk_nope_head_dim, 1},
                            {"qk_rope_head_dim", c.qk_rope_head_dim, 2},
                            {"v_head_dim", c.v_head_dim, 1},
                            {"max_position_embeddings", c.max_position_embeddings, 1}};
    constexpr int64_t kMost = int64_t(1) << 31;  // a product of two sizes still fits in 64 bits
    for (const Bound& bound : bounds) {
        if (bound.value < bound.least || bound.value >= kMost) {
            reject(where, bound.key,
                   concat("is ", bound.value, ", must be at least ", bound.least,
                          bound.value >= kMost ? " and below 2^31" : ""));
        }
    }
    if (c.qk_rope_head_dim % 2 != 0) {
        reject(where, "qk_rope_head_dim",
               concat("is ", c.qk_rope_head_dim, ", must be even (pairs are rotated)"));
    }
}

/// Sizes that each are possible and together are not: a few digits must neither ask for terabytes
/// of tensors' names nor for more parameters than 64 bits count.
void check_total(const ModelConfig& c, std::string_view where) {
    constexpr double kMostTensors = 4e6;  // forty times the 671B model's
    constexpr double kMostElements =
        0x1p60;  // a bound from above: each tensor as the widest square
    const double layers = double(c.num_hidden_layers) + double(c.num_nextn_predict_layers);
    const double tensors = layers * (16 + 3 * double(c.n_routed_experts));
    const double head = double(c.qk_nope_head_dim) + double(c.qk_rope_head_dim) +
                        double(c.v_head_dim) + double(c.kv_lora_rank);
    const double widest =
        std::max({double(c.vocab_size), 2 * double(c.hidden_size), double(c.intermediate_size),
                  double(c.q_lora_rank),
                  double(c.moe_intermediate_size) * std::max(1.0, double(c.n_shared_experts)),
                  double(c.num_attention_heads) * head});
    if (tensors > kMostTensors || tensors * widest * widest > kMostElements) {
        reject(where, "num_hidden_layers",
               concat("is ", c.num_hidden_layers,
                      ", with the other sizes that makes more tensors or parameters than any model "
                      "has"));
    }
}

void check_experts(const ModelConfig& c, std::string_view where) {
    if (c.n_routed_experts == 0) return;
    const int64_t experts = c.n_routed_experts;
    if (c.moe_intermediate_size < 1) {
        reject(where, "moe_intermediate_size",
               concat("is ", c.moe_intermediate_size, ", must be at least 1"));
    }
    if (c.num_experts_per_tok < 1 || c.num_experts_per_tok > experts) {
        reject(
            where, "num_experts_per_tok",
            concat("is ", c.num_experts_per_tok, ", must be 1 … n_routed_experts (", experts, ")"));
    }
    if (c.n_group < 1 || experts % c.n_group != 0) {
        reject(where, "n_group",
               concat("is ", c.n_group, ", must divide n_routed_experts (", experts, ")"));
    }
    if (c.topk_group < 1 || c.topk_group > c.n_group) {
        reject(where, "topk_group",
               concat("is ", c.topk_group, ", must be 1 … n_group (", c.n_group, ")"));
    }
    if (c.topk_group * (experts / c.n_group) < c.num_experts_per_tok) {
        reject(where, "num_experts_per_tok",
               concat("is ", c.num_experts_per_tok, ", but topk_group groups hold only ",
                      c.topk_group * (experts / c.n_group), " experts"));
    }
    if (c.scoring_func != "sigmoid" && c.scoring_func != "softmax") {
        reject(where, "scoring_func",
               concat("is '", c.scoring_func, "', must be sigmoid or softmax"));
    }
    if (c.topk_method != "noaux_tc" && c.topk_method != "group_limited_greedy" &&
        c.topk_method != "greedy") {
        reject(
            where, "topk_method",
            concat("is '", c.topk_method, "', must be noaux_tc, group_limited_greedy or greedy"));
    }
}

void check_numbers(const ModelConfig& c, std::string_view where) {
    if (!(c.rms_norm_eps > 0))
        reject(where, "rms_norm_eps", concat("is ", c.rms_norm_eps, ", must be above 0"));
    if (!(c.rope_theta > 1))
        reject(where, "rope_theta", concat("is ", c.rope_theta, ", must be above 1"));
    if (!(c.initializer_range >= 0)) {
        reject(where, "initializer_range",
               concat("is ", c.initializer_range, ", must be at least 0"));
    }
    if (!c.rope_scaling) return;
    const YarnScaling& yarn = *c.rope_scaling;
    if (!(yarn.factor >= 1))
        reject(where, "rope_scaling.factor", concat("is ", yarn.factor, ", must be at least 1"));
    if (yarn.original_max_position_embeddings < 1) {
        reject(where, "rope_scaling.original_max_position_embeddings",
               concat("is ", yarn.original_max_position_embeddings, ", must be at least 1"));
    }
    if (!(yarn.beta_slow > 0) || !(yarn.beta_fast >= yarn.beta_slow)) {
        reject(where, "rope_scaling.beta_fast",
               concat("is ", yarn.beta_fast, ", must be at least beta_slow (", yarn.beta_slow,
                      ") and both above 0"));
    }
}

}  // namespace

double ModelConfig::attention_scale() const {
    const double plain = 1 / std::sqrt(double(qk_head_dim()));
    if (!rope_scaling || rope_scaling->mscale_all_dim == 0) return plain;
    const double m = yarn_mscale(rope_scaling->factor, rope_scaling->mscale_all_dim);
    return plain * m * m;
}

ops::GateOptions ModelConfig::gate_options() const {
    using Options = ops::GateOptions;
    Options options;
    options.scoring =
        scoring_func == "softmax" ? Options::Scoring::softmax : Options::Scoring::sigmoid;
    options.group_score = topk_method == "noaux_tc" ? Options::GroupScore::sum_of_top_two
                                                    : Options::GroupScore::maximum;
    options.n_group = topk_method == "greedy" ? 1 : n_group;
    options.topk_group = topk_method == "greedy" ? 1 : topk_group;
    options.top_k = num_experts_per_tok;
    options.norm_topk_prob = norm_topk_prob;
    options.routed_scaling_factor = routed_scaling_factor;
    return options;
}

ModelConfig parse_config(std::string_view text, std::string_view where) {
    const json object = parse_json(text, where);
    if (!object.is_object()) {
        throw Error(Error::Kind::bad_input,
                    concat(where, ": not a JSON object (is this a config.json?)"));
    }
    const Fields fields(object, where);
    std::string model_type;
    fields.read("model_type", model_type);
    if (model_type.empty()) reject(where, "model_type", "is missing");
    ModelConfig config = defaults_of(model_type, where);
    reject_unsupported(fields, where);
    read_sizes(fields, config);
    read_choices(fields, config);
    read_rope(fields, where, config);
    read_token_ids(fields, config);
    read_dtype(fields, where, config);
    read_quantization(fields, where, config);
    check_config(config, where);
    return config;
}

ModelConfig read_config(const std::filesystem::path& model_directory) {
    const auto path = model_directory / "config.json";
    return parse_config(read_file(path), path.string());
}

void check_config(const ModelConfig& config, std::string_view where) {
    check_bounds(config, where);
    check_total(config, where);
    check_experts(config, where);
    check_numbers(config, where);
}

std::string config_text(const ModelConfig& c) {
    nlohmann::ordered_json object;
    const bool v2 = c.model_type == "deepseek_v2";
    object["architectures"] = {v2 ? "DeepseekV2ForCausalLM" : "DeepseekV3ForCausalLM"};
    object["model_type"] = c.model_type;
    object["vocab_size"] = c.vocab_size;
    object["hidden_size"] = c.hidden_size;
    object["num_hidden_layers"] = c.num_hidden_layers;
    object["num_nextn_predict_layers"] = c.num_nextn_predict_layers;
    object["num_attention_heads"] = c.num_attention_heads;
    object["num_key_value_heads"] = c.num_attention_heads;
    object["q_lora_rank"] =
        c.q_lora_rank > 0 ? nlohmann::ordered_json(c.q_lora_rank) : nlohmann::ordered_json();
    object["kv_lora_rank"] = c.kv_lora_rank;
    object["qk_nope_head_dim"] = c.qk_nope_head_dim;
    object["qk_rope_head_dim"] = c.qk_rope_head_dim;
    object["v_head_dim"] = c.v_head_dim;
    object["intermediate_size"] = c.intermediate_size;
    object["first_k_dense_replace"] =
        c.n_routed_experts > 0 ? c.first_k_dense_replace : c.num_hidden_layers;
    object["moe_layer_freq"] = c.moe_layer_freq;
    if (c.n_routed_experts > 0) {
        object["n_routed_experts"] = c.n_routed_experts;
        object["num_experts_per_tok"] = c.num_experts_per_tok;
        object["moe_intermediate_size"] = c.moe_intermediate_size;
        object["n_shared_experts"] = c.n_shared_experts;
        object["n_group"] = c.n_group;
        object["topk_group"] = c.topk_group;
        object["norm_topk_prob"] = c.norm_topk_prob;
        object["routed_scaling_factor"] = c.routed_scaling_factor;
        object["scoring_func"] = c.scoring_func;
        object["topk_method"] = c.topk_method;
    }
    object["hidden_act"] = "silu";
    object["rms_norm_eps"] = c.rms_norm_eps;
    object["max_position_embeddings"] = c.max_position_embeddings;
    object["rope_theta"] = c.rope_theta;
    object["rope_scaling"] = nullptr;
    if (c.rope_scaling) {
        object["rope_scaling"] = {
            {"type", "yarn"},
            {"factor", c.rope_scaling->factor},
            {"original_max_position_embeddings", c.rope_scaling->original_max_position_embeddings},
            {"beta_fast", c.rope_scaling->beta_fast},
            {"beta_slow", c.rope_scaling->beta_slow},
            {"mscale", c.rope_scaling->mscale},
            {"mscale_all_dim", c.rope_scaling->mscale_all_dim}};
    }
    object["attention_bias"] = false;
    object["attention_dropout"] = 0.0;
    object["tie_word_embeddings"] = c.tie_word_embeddings;
    object["initializer_range"] = c.initializer_range;
    if (c.bos_token_id) object["bos_token_id"] = *c.bos_token_id;
    if (c.eos_token_ids.size() == 1) object["eos_token_id"] = c.eos_token_ids[0];
    if (c.eos_token_ids.size() > 1) object["eos_token_id"] = c.eos_token_ids;
    object["use_cache"] = true;
    object["torch_dtype"] = c.dtype == DType::f32   ? "float32"
                            : c.dtype == DType::f16 ? "float16"
                                                    : "bfloat16";
    if (c.block_fp8) {
        object["quantization_config"] = {{"quant_method", "fp8"},
                                         {"fmt", "e4m3"},
                                         {"activation_scheme", "dynamic"},
                                         {"weight_block_size", {128, 128}}};
    }
    return object.dump(2) + "\n";
}

}  // namespace hadal::model
