#include "plan/work.h"

#include <algorithm>
#include <cmath>

namespace hadal::plan {

ModelWork work_of(const model::ModelConfig& c, int64_t mtp) {
    const auto d = double(c.hidden_size), heads = double(c.num_attention_heads);
    const auto qk = double(c.qk_head_dim()), nope = double(c.qk_nope_head_dim);
    const auto v = double(c.v_head_dim), latent = double(c.kv_lora_rank);
    const double expert = 3 * d * double(c.moe_intermediate_size);
    ModelWork work;
    const auto q_rank = double(c.q_lora_rank);
    const double q_up = q_rank > 0 ? q_rank * heads * qk : 0;
    const double q = q_rank > 0 ? d * q_rank + q_up : d * heads * qk;
    const double kv_up = latent * heads * (nope + v);
    work.attention = q + d * double(c.latent_dim()) + kv_up + heads * v * d;
    work.up_projections = q_up + kv_up;
    work.dense = 3 * d * double(c.intermediate_size);
    work.head = double(c.vocab_size) * d;
    work.mtp_projection = 2 * d * d;
    work.core = 2 * heads * (qk + v);
    work.core_backward = (3 * qk + 2 * v) / (qk + v);
    work.attention_width = 2 * d + heads * (2 * qk + 2 * v);
    for (int64_t i = 0; i < c.num_hidden_layers; ++i)
        ++(c.is_moe_layer(i) ? work.moe_layers : work.dense_layers);
    work.mtp = mtp < 0 ? c.num_nextn_predict_layers : mtp;
    if (c.n_routed_experts == 0) {
        work.expert_width = 2 * d + 3 * double(c.intermediate_size);
        return work;
    }
    work.routed = expert * double(c.num_experts_per_tok);
    work.shared = expert * double(c.n_shared_experts);
    work.router = d * double(c.n_routed_experts);
    work.expert_width = double(c.num_experts_per_tok + c.n_shared_experts) *
                        (2 * d + 3 * double(c.moe_intermediate_size));
    return work;
}

PartFlops forward_flops(const ModelWork& work, double sequence, bool causal) {
    const double keys = causal ? sequence / 2 : sequence;
    const auto layers = double(work.layers()), moe = double(work.moe_layers);
    PartFlops parts;
    parts.projections = 2 * layers * work.attention;
    parts.core = layers * work.core * keys;
    parts.routed = 2 * moe * work.routed;
    parts.shared = 2 * moe * work.shared;
    parts.router = 2 * moe * work.router;
    parts.dense = 2 * double(work.dense_layers) * work.dense;
    parts.head = 2 * work.head;
    const double feed_forward = work.moe_layers > 0 ? work.feed_forward() : work.dense;
    parts.mtp =
        double(work.mtp) *
        (2 * (work.attention + feed_forward + work.mtp_projection + work.head) + work.core * keys);
    return parts;
}

double training_flops(const ModelWork& work, double sequence, bool causal, bool with_mtp) {
    const PartFlops parts = forward_flops(work, sequence, causal);
    return 3 * (with_mtp ? parts.total() : parts.without_mtp());
}

double layers_per_stage(const ModelWork& work, double sequence, int64_t stages) {
    const double feed_forward = work.moe_layers > 0 ? work.feed_forward() : work.dense;
    const double layer = 2 * (work.attention + feed_forward) + work.core * sequence / 2;
    const double mean = forward_flops(work, sequence).total() / layer / double(stages);
    return std::max(mean, std::ceil(double(work.layers()) / double(stages)));
}

}  // namespace hadal::plan
