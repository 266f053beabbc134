#include "model/gguf_weights.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "checkpoint/non_finite.h"
#include "checkpoint/printable.h"
#include "formats/bfloat16.h"

namespace hadal::model {

namespace {

using checkpoint::Gguf;
using checkpoint::GgufTensor;

struct Names {
    std::string_view ours;    // after "model.layers.N."
    std::string_view theirs;  // after "blk.N."
};

constexpr Names kLayerNames[] = {
    {"input_layernorm.weight", "attn_norm.weight"},
    {"self_attn.q_proj.weight", "attn_q.weight"},
    {"self_attn.q_a_proj.weight", "attn_q_a.weight"},
    {"self_attn.q_a_layernorm.weight", "attn_q_a_norm.weight"},
    {"self_attn.q_b_proj.weight", "attn_q_b.weight"},
    {"self_attn.kv_a_proj_with_mqa.weight", "attn_kv_a_mqa.weight"},
    {"self_attn.kv_a_layernorm.weight", "attn_kv_a_norm.weight"},
    {"self_attn.kv_b_proj.weight", "attn_kv_b.weight"},
    {"self_attn.o_proj.weight", "attn_output.weight"},
    {"post_attention_layernorm.weight", "ffn_norm.weight"},
    {"mlp.gate_proj.weight", "ffn_gate.weight"},
    {"mlp.up_proj.weight", "ffn_up.weight"},
    {"mlp.down_proj.weight", "ffn_down.weight"},
    {"mlp.gate.weight", "ffn_gate_inp.weight"},
    {"mlp.gate.e_score_correction_bias", "exp_probs_b.bias"},
    {"mlp.shared_experts.gate_proj.weight", "ffn_gate_shexp.weight"},
    {"mlp.shared_experts.up_proj.weight", "ffn_up_shexp.weight"},
    {"mlp.shared_experts.down_proj.weight", "ffn_down_shexp.weight"},
    {"enorm.weight", "nextn.enorm.weight"},
    {"hnorm.weight", "nextn.hnorm.weight"},
    {"eh_proj.weight", "nextn.eh_proj.weight"},
    {"shared_head.norm.weight", "nextn.shared_head_norm.weight"},
};
constexpr Names kExpertNames[] = {
    // after "mlp.experts.E."
    {"gate_proj.weight", "ffn_gate_exps.weight"},
    {"up_proj.weight", "ffn_up_exps.weight"},
    {"down_proj.weight", "ffn_down_exps.weight"},
};
constexpr Names kModelNames[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
};
constexpr std::string_view kAttentionUp = "attn_kv_b.weight";

/// What files may hold besides: MTP's copies of embedding and head, and both forms of attn_kv_b.
constexpr std::string_view kRepeated[] = {".nextn.embed_tokens.weight",
                                          ".nextn.shared_head_head.weight", ".attn_k_b.weight",
                                          ".attn_v_b.weight"};

std::string_view translated(std::span<const Names> table, std::string_view name) {
    for (const Names& names : table) {
        if (names.ours == name) return names.theirs;
    }
    throw Error(Error::Kind::internal, concat("parameter '", name, "' has no name in GGUF"));
}

/// The number at the front of `text`, which it and the "." after it are cut off from.
int64_t take_number(std::string_view& text) {
    int64_t number = 0;
    const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), number);
    HADAL_ASSERT(problem == std::errc());
    text.remove_prefix(size_t(end - text.data()) + 1);
    return number;
}

struct GgufName {
    std::string name;
    int64_t expert = -1;  // of a tensor that holds all experts of a layer
};

GgufName gguf_name(std::string_view ours) {
    constexpr std::string_view kLayers = "model.layers.";
    constexpr std::string_view kExperts = "mlp.experts.";
    if (!ours.starts_with(kLayers)) return {std::string(translated(kModelNames, ours))};
    ours.remove_prefix(kLayers.size());
    const int64_t layer = take_number(ours);
    if (!ours.starts_with(kExperts)) {
        return {concat("blk.", layer, ".", translated(kLayerNames, ours))};
    }
    ours.remove_prefix(kExperts.size());
    const int64_t expert = take_number(ours);
    return {concat("blk.", layer, ".", translated(kExpertNames, ours)), expert};
}

/// Row `row` of a tensor seen as a matrix of its fastest dimension.
void read_row(const Gguf& file, const GgufTensor& tensor, int64_t row, std::span<float> values) {
    const formats::GgmlBlock block = formats::block_of(tensor.type);
    const int64_t bytes = int64_t(values.size()) / block.values * block.bytes;
    formats::dequantize_blocks(
        tensor.type, file.bytes(tensor).subspan(size_t(row * bytes), size_t(bytes)), values);
}

void put_row(std::span<const float> row, int64_t index, Tensor& values) {
    const auto at = size_t(index) * row.size();
    if (values.dtype() == DType::f32) {
        std::ranges::copy(row, values.values<float>().subspan(at).begin());
    } else {
        std::ranges::transform(row, values.values<bf16>().subspan(at).begin(),
                               [](float value) { return to_bf16(value); });
    }
}

}  // namespace

GgufWeights::GgufWeights(const Gguf& file, const ModelConfig& config)
    : file_(file), config_(config) {
    Weights none;
    for (const Parameter& parameter : parameters(config, none)) {
        places_[parameter.name] = find(parameter);
    }
    for (const GgufTensor& tensor : file.tensors()) {
        const bool repeated = std::ranges::any_of(
            kRepeated, [&](std::string_view suffix) { return tensor.name.ends_with(suffix); });
        if (repeated || used_.contains(tensor.name)) continue;
        throw Error(Error::Kind::unsupported,
                    concat("tensor ", checkpoint::printable(tensor.name),
                           " has no place in the model that the file's keys describe: ",
                           file.path().string()));
    }
}

const GgufTensor* GgufWeights::use(const std::string& name, const Shape& shape) {
    const GgufTensor* tensor = file_.find(name);
    if (tensor == nullptr) {
        throw Error(Error::Kind::corrupt_file,
                    concat("lacks the tensor '", name, "': ", file_.path().string()));
    }
    if (tensor->shape != shape) {
        throw Error(Error::Kind::corrupt_file,
                    concat("tensor '", name, "' is ", tensor->shape.text(), ", the keys make it ",
                           shape.text(), ": ", file_.path().string()));
    }
    used_[tensor->name] = true;
    return tensor;
}

GgufWeights::Place GgufWeights::find(const Parameter& parameter) {
    const auto [name, expert] = gguf_name(parameter.name);
    const Shape& shape = parameter.shape;
    if (expert >= 0) return {use(name, {config_.n_routed_experts, shape[0], shape[1]}), expert};
    if (!name.ends_with(kAttentionUp) || file_.find(name) != nullptr) return {use(name, shape)};
    const std::string block = name.substr(0, name.size() - kAttentionUp.size());
    const ModelConfig& c = config_;
    return {.tensor = use(block + "attn_k_b.weight",
                          {c.num_attention_heads, c.kv_lora_rank, c.qk_nope_head_dim}),
            .values_up = use(block + "attn_v_b.weight",
                             {c.num_attention_heads, c.v_head_dim, c.kv_lora_rank})};
}

void GgufWeights::read(Context& context, const Parameter& parameter, Tensor& values) const {
    const Place& place = places_.at(parameter.name);
    if (place.values_up != nullptr) {
        read_heads(context, place, values);
    } else {
        read_rows(context, place, values);
    }
    if (checkpoint::count_non_finite(values) > 0) {
        throw Error(Error::Kind::corrupt_file,
                    concat("tensor ", checkpoint::printable(place.tensor->name),
                           " holds values that are not finite: ", file_.path().string()));
    }
}

Tensor GgufWeights::view(const Parameter& parameter, DType dtype) const {
    const Place& place = places_.at(parameter.name);
    const auto wanted = dtype == DType::f32 ? formats::GgmlType::f32 : formats::GgmlType::bf16;
    if (place.values_up != nullptr || place.tensor->type != wanted) return {};
    return file_.view(*place.tensor, place.part);
}

Weights GgufWeights::load(Context& context, const Precision& precision,
                          const ProgressCallback& progress) const {
    Weights weights;
    const std::vector<Parameter> all = parameters(config_, weights);
    for (size_t i = 0; i < all.size(); ++i) {
        const DType dtype = parameter_dtype(all[i], precision);
        *all[i].tensor = view(all[i], dtype);
        if (all[i].tensor->empty()) {
            *all[i].tensor = Tensor::uninitialized(all[i].shape, dtype);
            read(context, all[i], *all[i].tensor);
        }
        if (progress) progress(int64_t(i) + 1, int64_t(all.size()));
    }
    share_head(config_, weights);
    return weights;
}

void GgufWeights::read_rows(Context& context, const Place& place, Tensor& values) const {
    const Shape& shape = values.shape();
    const int64_t columns = shape[shape.rank() - 1];
    const int64_t rows = shape.count() / columns;
    context.threads.parallel_for(rows, [&](int64_t i) {
        std::vector<float> row(static_cast<size_t>(columns));
        read_row(file_, *place.tensor, std::max<int64_t>(place.part, 0) * rows + i, row);
        put_row(row, i, values);
    });
}

/// For each head the rows of W^UK, then those of W^UV: kv_b_proj, eq. 2 and 5.
void GgufWeights::read_heads(Context& context, const Place& place, Tensor& values) const {
    const int64_t nope = config_.qk_nope_head_dim, v = config_.v_head_dim;
    const int64_t rank = config_.kv_lora_rank;
    context.threads.parallel_for(config_.num_attention_heads, [&](int64_t head) {
        std::vector<float> keys(size_t(nope * rank));  // [nope, rank]
        std::vector<float> column(static_cast<size_t>(nope));
        for (int64_t r = 0; r < rank; ++r) {
            read_row(file_, *place.tensor, head * rank + r, column);
            for (int64_t i = 0; i < nope; ++i) keys[size_t(i * rank + r)] = column[size_t(i)];
        }
        const int64_t first = head * (nope + v);
        std::vector<float> row(static_cast<size_t>(rank));
        for (int64_t i = 0; i < nope; ++i) {
            put_row(std::span(keys).subspan(size_t(i * rank), size_t(rank)), first + i, values);
        }
        for (int64_t i = 0; i < v; ++i) {
            read_row(file_, *place.values_up, head * v + i, row);
            put_row(row, first + nope + i, values);
        }
    });
}

}  // namespace hadal::model
