// The parameters of a model: one struct of tensors, and one table that ties each to its Hugging
// Face name and shape. The same struct holds weights (bf16 or f32), gradients (f32), or nothing but
// shapes (for counting).
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "checkpoint/hugging_face.h"
#include "core/context.h"
#include "core/tensor.h"
#include "model/config.h"
#include "model/linear.h"
#include "model/precision.h"

namespace hadal::model {

struct AttentionWeights {
    Linear q_proj;              // [heads·qk_head_dim, hidden], only without q_lora
    Linear q_a_proj;            // [q_lora_rank, hidden]                       W^DQ, eq. 6
    Tensor q_a_layernorm;       // [q_lora_rank]
    Linear q_b_proj;            // [heads·qk_head_dim, q_lora_rank]            W^UQ, W^QR, eq. 7–8
    Linear kv_a_proj_with_mqa;  // [kv_lora_rank + qk_rope_head_dim, hidden]   W^DKV, W^KR, eq. 1, 3
    Tensor kv_a_layernorm;      // [kv_lora_rank]
    Linear
        kv_b_proj;  // [heads·(qk_nope_head_dim + v_head_dim), kv_lora_rank]   W^UK, W^UV, eq. 2, 5
    Linear o_proj;  // [hidden, heads·v_head_dim]                  W^O, eq. 11
};

struct FeedForwardWeights {
    Linear gate_proj;  // [intermediate, hidden]
    Linear up_proj;    // [intermediate, hidden]
    Linear down_proj;  // [hidden, intermediate]
};

class ExpertPages;

struct MoeWeights {
    Tensor gate;                     // [n_routed_experts, hidden]   centroids e_i, eq. 15
    Tensor e_score_correction_bias;  // [n_routed_experts] f32       b_i, eq. 16; no gradient
    std::vector<FeedForwardWeights> experts;  // n_routed_experts of moe_intermediate_size
    FeedForwardWeights shared_experts;        // n_shared_experts·moe_intermediate_size
    std::shared_ptr<ExpertPages> pages;       // of experts in a mapped file, else null
};

struct LayerWeights {
    Tensor input_layernorm;  // [hidden]
    AttentionWeights self_attn;
    Tensor post_attention_layernorm;  // [hidden]
    FeedForwardWeights mlp;           // dense layers
    MoeWeights moe;                   // MoE layers
};

/// One multi-token prediction module. Report §2.2; embedding and head are the main model's.
struct MtpWeights {
    Tensor enorm;    // [hidden] norm of the embedding
    Tensor hnorm;    // [hidden] norm of the hidden state
    Linear eh_proj;  // [hidden, 2·hidden]   M_k, eq. 21; columns 0 … hidden−1 act on the embedding
    LayerWeights layer;
    Tensor shared_head_norm;  // [hidden]
};

struct Weights {
    Tensor embed_tokens;  // [vocab, hidden]
    std::vector<LayerWeights> layers;
    Tensor norm;     // [hidden]
    Linear lm_head;  // [vocab, hidden], never in FP8; shares embed_tokens' memory when tied
    std::vector<MtpWeights> mtp;
};

enum class Role { embedding, head, matrix, expert, router, norm, router_bias };

/// One line of the table: the tensor's name in a checkpoint, its shape, what it is, where it lives.
struct Parameter {
    std::string name;
    Shape shape;
    Role role;
    bool in_mtp;
    Tensor* tensor;            // into the Weights given
    Linear* linear = nullptr;  // the linear layer whose weight it is, if it is one
};

/// All parameters in checkpoint order. Sizes the vectors of `weights` to the configuration. MTP's
/// copies of embedding and head are not parameters (they share memory), see checkpoint_tensors; nor
/// is lm_head when tied.
std::vector<Parameter> parameters(const ModelConfig& config, Weights& weights);

/// Where the configuration ties them, lm_head shares the embedding's memory.
void share_head(const ModelConfig& config, Weights& weights);

/// What DeepSeek's released checkpoints store in block-FP8: the linear maps of attention and
/// feed-forwards.
bool is_quantised(const Parameter& parameter);

/// The type of a parameter's values: the model's, but f32 for the router bias and for what linear
/// layers multiply codes of.
DType parameter_dtype(const Parameter& parameter, const Precision& precision);

/// Whether AdamW decays it: matrices yes; norms and the router bias no.
bool has_weight_decay(Role role);

/// Elements per component, of the whole model unless said otherwise.
struct ParameterCount {
    int64_t total = 0;       // main model
    int64_t active = 0;      // used by one token, head counted, embedding not
    int64_t mtp = 0;         // MTP modules without their copies of embedding and head
    int64_t checkpoint = 0;  // total + mtp + the copies
    int64_t tensors = 0;     // in a checkpoint, copies and the scales of block-FP8 included
    int64_t embedding = 0, head = 0, attention = 0, dense_ffn = 0,
            shared_experts = 0;                         // main model
    int64_t routed_experts = 0, router = 0, norms = 0;  // main model
};
ParameterCount count_parameters(const ModelConfig& config);

/// Bytes that one token adds to the latent cache in bf16, MTP layers not counted.
int64_t kv_bytes_per_token(const ModelConfig& config);

/// Fills `values` with a parameter's fresh weights: N(0, initializer_range²), norms 1, router bias
/// 0. A value depends on (seed, name, index) alone.
void fill_fresh(Context& context, const ModelConfig& config, const Parameter& parameter,
                uint64_t seed, Tensor& values);  // [parameter.shape] bf16|f32|f64
/// All of them. FP8 linear layers begin as those of a bf16 model.
Weights init_weights(Context& context, const ModelConfig& config, const Precision& precision,
                     uint64_t seed);
/// Zeros in the shape of the parameters, for gradients and moments. No tensor for the router bias.
Weights zero_gradients(const ModelConfig& config, DType dtype = DType::f32);

/// The configuration of an opened directory, without MTP modules that it counts and does not hold:
/// Transformers writes their number, never their weights.
ModelConfig stored_config(const checkpoint::HuggingFace& files);
/// Error(corrupt_file) names a parameter that the files lack or hold in another shape. Reads
/// headers only.
void check_parameters(const ModelConfig& config, const checkpoint::HuggingFace& files);
/// What becomes of weights that a checkpoint holds in block-FP8 or INT4.
enum class CodedWeights {
    as_values,  // multiplied by their scales into the model's type: for training and gradients
    /// bf16 models: linear layers read the codes where the file is mapped, a byte a weight or half
    /// of one; forward only. INT8 is unpacked: there is no product of it by bf16.
    in_place,
    /// The same, and integers are multiplied by activations in INT8: INT8 stays in place too.
    int8_activations,
};
/// Maps the weights of an opened checkpoint; zero-copy where the file's type is `dtype`, converted
/// otherwise. Missing tensors and wrong shapes are an Error(corrupt_file) with the name; unknown
/// tensors are listed in `unknown`.
Weights load_weights(const ModelConfig& config, const checkpoint::HuggingFace& files,
                     const Precision& precision, std::vector<std::string>* unknown = nullptr,
                     CodedWeights coded = CodedWeights::as_values);
/// The weights of a block-FP8 checkpoint as they lie there: linear layers have codes and no
/// weights, for passes in FP8 (Precision(Fp8Recipe())). Error(bad_input) if it is none.
Weights load_codes(const ModelConfig& config, const checkpoint::HuggingFace& files,
                   std::vector<std::string>* unknown = nullptr);
/// Codes of all linear layers: after every change of their weights. Nothing without FP8.
void quantize_linears(Context& context, const ModelConfig& config, const Precision& precision,
                      Weights& weights);
/// Names of the checkpoint that the configuration has no use for, those that released files are
/// known to carry besides left out.
std::vector<std::string> unknown_tensors(const ModelConfig& config,
                                         const checkpoint::HuggingFace& files);

/// Whether linear layers have codes as DeepSeek's checkpoints do: E4M3 in blocks of 128×128.
bool has_block_codes(const Weights& weights);

/// Calls write(name, tensor) for every tensor of a checkpoint in order, MTP's copies of embedding
/// and head included. With config.block_fp8 and codes the layout is DeepSeek's: codes and
/// `_scale_inv`, but eh_proj in bf16.
void checkpoint_tensors(
    const ModelConfig& config, Weights& weights,
    const std::function<void(const std::string& name, const Tensor& tensor)>& write);

}  // namespace hadal::model
