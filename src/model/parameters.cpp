#include "model/parameters.h"

#include <algorithm>
#include <set>

#include "core/tensor_block.h"
#include "formats/bfloat16.h"
#include "ops/convert.h"
#include "ops/random_normal.h"

namespace hadal::model {

namespace {

/// Appends lines of the table for one model.
class Table {
  public:
    Table(const ModelConfig& config, std::vector<Parameter>& lines)
        : config_(config), lines_(lines) {}

    void add(const std::string& name, Shape shape, Role role, Tensor& tensor) {
        lines_.push_back({name, shape, role, in_mtp_, &tensor});
    }
    void add(const std::string& name, Shape shape, Role role, Linear& linear) {
        lines_.push_back({name, shape, role, in_mtp_, &linear.weight, &linear});
    }

    void add_attention(const std::string& prefix, AttentionWeights& weights) {
        const int64_t hidden = config_.hidden_size;
        const int64_t heads = config_.num_attention_heads;
        const int64_t q_rows = heads * config_.qk_head_dim();
        const int64_t kv_rows = heads * (config_.qk_nope_head_dim + config_.v_head_dim);
        if (config_.q_lora_rank > 0) {
            const int64_t rank = config_.q_lora_rank;
            add(prefix + "q_a_proj.weight", {rank, hidden}, Role::matrix, weights.q_a_proj);
            add(prefix + "q_a_layernorm.weight", {rank}, Role::norm, weights.q_a_layernorm);
            add(prefix + "q_b_proj.weight", {q_rows, rank}, Role::matrix, weights.q_b_proj);
        } else {
            add(prefix + "q_proj.weight", {q_rows, hidden}, Role::matrix, weights.q_proj);
        }
        add(prefix + "kv_a_proj_with_mqa.weight", {config_.latent_dim(), hidden}, Role::matrix,
            weights.kv_a_proj_with_mqa);
        add(prefix + "kv_a_layernorm.weight", {config_.kv_lora_rank}, Role::norm,
            weights.kv_a_layernorm);
        add(prefix + "kv_b_proj.weight", {kv_rows, config_.kv_lora_rank}, Role::matrix,
            weights.kv_b_proj);
        add(prefix + "o_proj.weight", {hidden, heads * config_.v_head_dim}, Role::matrix,
            weights.o_proj);
    }

    void add_feed_forward(const std::string& prefix, int64_t intermediate, Role role,
                          FeedForwardWeights& weights) {
        const int64_t hidden = config_.hidden_size;
        add(prefix + "gate_proj.weight", {intermediate, hidden}, role, weights.gate_proj);
        add(prefix + "up_proj.weight", {intermediate, hidden}, role, weights.up_proj);
        add(prefix + "down_proj.weight", {hidden, intermediate}, role, weights.down_proj);
    }

    void add_moe(const std::string& prefix, MoeWeights& weights) {
        const int64_t experts = config_.n_routed_experts;
        add(prefix + "gate.weight", {experts, config_.hidden_size}, Role::router, weights.gate);
        if (config_.topk_method == "noaux_tc") {
            add(prefix + "gate.e_score_correction_bias", {experts}, Role::router_bias,
                weights.e_score_correction_bias);
        }
        weights.experts.resize(size_t(experts));
        for (int64_t e = 0; e < experts; ++e) {
            add_feed_forward(concat(prefix, "experts.", e, "."), config_.moe_intermediate_size,
                             Role::expert, weights.experts[size_t(e)]);
        }
        if (config_.n_shared_experts > 0) {
            add_feed_forward(prefix + "shared_experts.",
                             config_.n_shared_experts * config_.moe_intermediate_size, Role::matrix,
                             weights.shared_experts);
        }
    }

    void add_layer(const std::string& prefix, bool is_moe, LayerWeights& weights) {
        add(prefix + "input_layernorm.weight", {config_.hidden_size}, Role::norm,
            weights.input_layernorm);
        add_attention(prefix + "self_attn.", weights.self_attn);
        add(prefix + "post_attention_layernorm.weight", {config_.hidden_size}, Role::norm,
            weights.post_attention_layernorm);
        if (is_moe) {
            add_moe(prefix + "mlp.", weights.moe);
        } else {
            add_feed_forward(prefix + "mlp.", config_.intermediate_size, Role::matrix, weights.mlp);
        }
    }

    void add_mtp(const std::string& prefix, MtpWeights& weights) {
        const int64_t hidden = config_.hidden_size;
        in_mtp_ = true;
        add(prefix + "enorm.weight", {hidden}, Role::norm, weights.enorm);
        add(prefix + "hnorm.weight", {hidden}, Role::norm, weights.hnorm);
        add(prefix + "eh_proj.weight", {hidden, 2 * hidden}, Role::matrix, weights.eh_proj);
        add_layer(prefix, config_.n_routed_experts > 0, weights.layer);
        add(prefix + "shared_head.norm.weight", {hidden}, Role::norm, weights.shared_head_norm);
    }

  private:
    const ModelConfig& config_;
    std::vector<Parameter>& lines_;
    bool in_mtp_ = false;
};

std::string layer_prefix(int64_t layer) {
    return concat("model.layers.", layer, ".");
}

uint64_t hash_name(std::string_view name) {  // FNV-1a
    uint64_t hash = 0xCBF29CE484222325ull;
    for (const char c : name) hash = (hash ^ uint8_t(c)) * 0x100000001B3ull;
    return hash;
}

/// Its values are the float32 master of FP8 codes.
bool is_fp8_master(const Parameter& parameter, const Precision& precision) {
    return precision.fp8 && parameter.linear != nullptr;
}

Tensor rounded_to_bf16(const Tensor& tensor) {
    Tensor rounded = Tensor::uninitialized(tensor.shape(), DType::bf16);
    std::ranges::transform(tensor.values<float>(), rounded.values<bf16>().begin(),
                           [](float value) { return to_bf16(value); });
    return rounded;
}

}  // namespace

void share_head(const ModelConfig& config, Weights& weights) {
    if (config.tie_word_embeddings) weights.lm_head.weight = weights.embed_tokens;
}

std::vector<Parameter> parameters(const ModelConfig& config, Weights& weights) {
    std::vector<Parameter> lines;
    Table table(config, lines);
    weights.layers.resize(size_t(config.num_hidden_layers));
    weights.mtp.resize(size_t(config.num_nextn_predict_layers));
    table.add("model.embed_tokens.weight", {config.vocab_size, config.hidden_size}, Role::embedding,
              weights.embed_tokens);
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) {
        table.add_layer(layer_prefix(i), config.is_moe_layer(i), weights.layers[size_t(i)]);
    }
    table.add("model.norm.weight", {config.hidden_size}, Role::norm, weights.norm);
    if (!config.tie_word_embeddings) {
        table.add("lm_head.weight", {config.vocab_size, config.hidden_size}, Role::head,
                  weights.lm_head.weight);
    }
    for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k) {
        table.add_mtp(layer_prefix(config.num_hidden_layers + k), weights.mtp[size_t(k)]);
    }
    return lines;
}

bool is_quantised(const Parameter& parameter) {
    return parameter.linear != nullptr && !parameter.name.ends_with("eh_proj.weight");
}

DType parameter_dtype(const Parameter& parameter, const Precision& precision) {
    const bool is_f32 = parameter.role == Role::router_bias || is_fp8_master(parameter, precision);
    return is_f32 ? DType::f32 : precision.dtype;
}

bool has_weight_decay(Role role) {
    return role != Role::norm && role != Role::router_bias;
}

ParameterCount count_parameters(const ModelConfig& config) {
    Weights none;
    ParameterCount count;
    const int64_t experts = std::max<int64_t>(config.n_routed_experts, 1);
    for (const Parameter& parameter : parameters(config, none)) {
        const int64_t elements = parameter.shape.count();
        ++count.tensors;
        if (config.block_fp8 && is_quantised(parameter)) ++count.tensors;  // weight_scale_inv
        if (parameter.in_mtp) {
            count.mtp += elements;
            continue;
        }
        count.total += elements;
        if (parameter.role == Role::expert) {
            count.active += elements / experts * config.num_experts_per_tok;
        } else if (parameter.role != Role::embedding || config.tie_word_embeddings) {
            count.active += elements;
        }
        const bool attention = parameter.name.find(".self_attn.") != std::string::npos;
        switch (parameter.role) {
            case Role::embedding:
                count.embedding += elements;
                break;
            case Role::head:
                count.head += elements;
                break;
            case Role::expert:
                count.routed_experts += elements;
                break;
            case Role::router:
            case Role::router_bias:
                count.router += elements;
                break;
            case Role::norm:
                count.norms += elements;
                break;
            case Role::matrix:
                if (attention) {
                    count.attention += elements;
                } else if (parameter.name.find(".shared_experts.") != std::string::npos) {
                    count.shared_experts += elements;
                } else {
                    count.dense_ffn += elements;
                }
                break;
        }
    }
    const int64_t copies = 2 * config.num_nextn_predict_layers;  // of embedding and head
    count.tensors += copies;
    count.checkpoint = count.total + count.mtp + copies * config.vocab_size * config.hidden_size;
    return count;
}

int64_t kv_bytes_per_token(const ModelConfig& config) {
    return config.num_hidden_layers * config.latent_dim() * size_of(DType::bf16);
}

namespace {

/// Room for every parameter of type `dtype` but the router biases, which are f32 in every model.
TensorBlock block_for(const ModelConfig& config, const Precision& precision, DType dtype) {
    Weights none;
    int64_t elements = 0;
    for (const Parameter& parameter : parameters(config, none)) {
        const bool inside =
            parameter.role != Role::router_bias && parameter_dtype(parameter, precision) == dtype;
        if (inside) elements += TensorBlock::room(parameter.shape);
    }
    return {elements, dtype};
}

}  // namespace

void fill_fresh(Context& context, const ModelConfig& config, const Parameter& parameter,
                uint64_t seed, Tensor& values) {
    if (parameter.role == Role::router_bias) return values.fill_zero();
    if (parameter.role == Role::norm) {
        Tensor ones = Tensor::uninitialized(parameter.shape, DType::f32);
        std::ranges::fill(ones.values<float>(), 1.0f);
        return ops::convert(context, ones, values);
    }
    ops::random_normal(context, {.seed = seed, .stream = hash_name(parameter.name)},
                       config.initializer_range, values);
}

Weights init_weights(Context& context, const ModelConfig& config, const Precision& precision,
                     uint64_t seed) {
    Weights weights;
    TensorBlock block = block_for(config, precision, precision.dtype);
    TensorBlock masters(0, DType::f32);
    if (precision.fp8) masters = block_for(config, precision, DType::f32);
    for (const Parameter& parameter : parameters(config, weights)) {
        const bool is_master = is_fp8_master(parameter, precision);
        *parameter.tensor = parameter.role == Role::router_bias
                                ? Tensor::uninitialized(parameter.shape, DType::f32)
                                : (is_master ? masters : block).take(parameter.shape);
        if (is_master) {
            Tensor rounded = Tensor::uninitialized(parameter.shape, precision.dtype);
            fill_fresh(context, config, parameter, seed, rounded);
            ops::convert(context, rounded, *parameter.tensor);
        } else {
            fill_fresh(context, config, parameter, seed, *parameter.tensor);
        }
    }
    share_head(config, weights);
    quantize_linears(context, config, precision, weights);
    return weights;
}

void quantize_linears(Context& context, const ModelConfig& config, const Precision& precision,
                      Weights& weights) {
    if (!precision.fp8) return;
    std::vector<Linear*> linears;
    for (const Parameter& parameter : parameters(config, weights)) {
        if (parameter.linear != nullptr) linears.push_back(parameter.linear);
    }
    quantize_weights(context, linears, precision.fp8->weight);
}

Weights zero_gradients(const ModelConfig& config, DType dtype) {
    Weights weights;
    TensorBlock block = block_for(config, dtype, dtype);
    block.fill_zero();
    for (const Parameter& parameter : parameters(config, weights)) {
        if (parameter.role == Role::router_bias) continue;
        *parameter.tensor = block.take(parameter.shape);
    }
    return weights;
}

ModelConfig stored_config(const checkpoint::HuggingFace& files) {
    ModelConfig config =
        parse_config(files.config_text(), (files.directory() / "config.json").string());
    const std::string first_mtp = layer_prefix(config.num_hidden_layers) + "eh_proj.weight";
    if (!files.contains(first_mtp)) config.num_nextn_predict_layers = 0;
    return config;
}

void check_parameters(const ModelConfig& config, const checkpoint::HuggingFace& files) {
    Weights none;
    for (const Parameter& parameter : parameters(config, none)) {
        const std::string packed_name = concat(parameter.name, "_packed");
        const std::optional<checkpoint::PackedWeight> packed =
            config.packed_weights ? files.packed_weight(parameter.name) : std::nullopt;
        const checkpoint::TensorInfo* stored = files.find(packed ? packed_name : parameter.name);
        if (stored == nullptr) {
            throw Error(
                Error::Kind::corrupt_file,
                concat("tensor '", parameter.name, "' is missing: ", files.directory().string(),
                       " (the checkpoint does not match its config.json)"));
        }
        const Shape& shape = packed ? packed->shape : stored->shape;
        if (shape != parameter.shape) {
            throw Error(
                Error::Kind::corrupt_file,
                concat("tensor '", parameter.name, "' is ", shape.text(), ", config.json asks for ",
                       parameter.shape.text(), ": ", files.path_of(*stored).string()));
        }
    }
}

namespace {

/// The codes of a weight in INT4 or INT8, if it is one whose codes can be multiplied.
bool load_packed(const checkpoint::HuggingFace& files, const std::string& name, CodedWeights coded,
                 Linear& linear) {
    const auto packed = files.packed_weight(name);
    if (!packed) return false;
    linear.int8_activations = coded == CodedWeights::int8_activations;
    if (packed->bits == 4) {
        linear.int4 = files.load_int4(name);
        return true;
    }
    if (linear.int8_activations) linear.int8 = files.load_int8(name);
    return linear.int8_activations;
}

}  // namespace

Weights load_weights(const ModelConfig& config, const checkpoint::HuggingFace& files,
                     const Precision& precision, std::vector<std::string>* unknown,
                     CodedWeights coded) {
    check_parameters(config, files);
    Weights weights;
    for (const Parameter& parameter : parameters(config, weights)) {
        // Attention in absorbed form takes kv_b_proj apart by heads, and not only multiplies by it.
        Linear* linear = parameter.role == Role::head ? &weights.lm_head : parameter.linear;
        const bool in_place = coded != CodedWeights::as_values && linear != nullptr &&
                              precision.dtype == DType::bf16 &&
                              !parameter.name.ends_with("kv_b_proj.weight");
        if (in_place && load_packed(files, parameter.name, coded, *linear)) continue;
        const checkpoint::TensorInfo* stored = files.find(parameter.name);  // none: packed
        if (in_place && stored != nullptr && stored->dtype == DType::f8_e4m3) {
            linear->codes = files.load_tiles(parameter.name);
            continue;
        }
        *parameter.tensor = files.load(parameter.name, parameter_dtype(parameter, precision));
    }
    share_head(config, weights);
    if (unknown != nullptr) *unknown = unknown_tensors(config, files);
    return weights;
}

Weights load_codes(const ModelConfig& config, const checkpoint::HuggingFace& files,
                   std::vector<std::string>* unknown) {
    if (!config.block_fp8) {
        throw Error(Error::Kind::bad_input,
                    concat("no block-FP8 checkpoint: ", files.directory().string(),
                           " (hadal quantize MODEL --to fp8 writes one)"));
    }
    Weights weights = load_weights(config, files, DType::bf16, unknown);
    for (const Parameter& parameter : parameters(config, weights)) {
        if (parameter.linear == nullptr) continue;
        Linear& linear = *parameter.linear;
        if (files.find(parameter.name)->dtype == DType::f8_e4m3) {
            linear.codes = files.load_tiles(parameter.name);
        } else {  // eh_proj, which checkpoints hold in bf16
            linear.codes = TiledMatrix::uninitialized(parameter.shape, formats::kBlockTiles);
            formats::quantize_tiles(linear.weight, linear.codes);
        }
        linear.codes_along_out = linear.codes;
        linear.weight = Tensor();
    }
    return weights;
}

std::vector<std::string> unknown_tensors(const ModelConfig& config,
                                         const checkpoint::HuggingFace& files) {
    Weights none;
    std::set<std::string, std::less<>> known;
    for (const Parameter& parameter : parameters(config, none)) known.insert(parameter.name);
    std::vector<std::string> unknown;
    for (const auto& info : files.tensors()) {
        const std::string_view name = info.name;
        const bool expected = known.contains(name) || name.ends_with("_scale_inv") ||
                              known.contains(files.packed_weight_of(name)) ||
                              name.ends_with("rotary_emb.inv_freq") ||   // old checkpoints carry it
                              name.ends_with(".embed_tokens.weight") ||  // MTP's copies
                              name.ends_with(".shared_head.head.weight");
        if (!expected) unknown.emplace_back(name);
    }
    return unknown;
}

bool has_block_codes(const Weights& weights) {
    const TiledMatrix& codes = weights.layers.front().self_attn.o_proj.codes;
    return codes.codes.dtype() == DType::f8_e4m3 && codes.tiling == formats::kBlockTiles;
}

void checkpoint_tensors(const ModelConfig& config, Weights& weights,
                        const std::function<void(const std::string&, const Tensor&)>& write) {
    for (const Parameter& parameter : parameters(config, weights)) {
        const Tensor& tensor = *parameter.tensor;
        if (parameter.linear == nullptr || parameter.linear->codes.codes.empty()) {
            write(parameter.name, tensor);
        } else if (config.block_fp8 && is_quantised(parameter)) {
            write(parameter.name, parameter.linear->codes.codes);
            write(parameter.name + "_scale_inv", parameter.linear->codes.scale);
        } else {
            write(parameter.name, rounded_to_bf16(tensor));
        }
    }
    for (int64_t k = 0; k < config.num_nextn_predict_layers; ++k) {
        const std::string prefix = layer_prefix(config.num_hidden_layers + k);
        write(prefix + "embed_tokens.weight", weights.embed_tokens);
        write(prefix + "shared_head.head.weight", weights.lm_head.weight);
    }
}

}  // namespace hadal::model
