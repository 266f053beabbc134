// Bytes per rank of a training layout: states, activations by tensor, buffers; and what to change
// when they do not fit.
#pragma once

#include <string>
#include <vector>

#include "plan/placement.h"

namespace hadal::plan {

/// One tensor that a layer keeps for backward.
struct KeptTensor {
    std::string name;
    std::string format;
    double bytes_per_token = 0;
    bool follows_load = false;  // grows with the tokens that routing sends here
};

/// Of a layer that is MoE or dense, as layout.recompute and layout.precision say. Report §3.2.3,
/// §3.3.3.
std::vector<KeptTensor> kept_tensors(const model::ModelConfig& config, const Layout& layout,
                                     bool moe);
/// Sum over the tensors, with the layout's load imbalance.
double kept_bytes_per_token(const model::ModelConfig& config, const Layout& layout, bool moe);

/// Micro-batches of one rank whose activations live at the same time, in chunks of one stage.
double live_chunks(const Layout& layout, int64_t rank);

/// Bytes on one GPU.
struct RankMemory {
    int64_t rank = 0;
    RankParameters parameters = {};
    double weights = 0, gradients = 0, master = 0, moments = 0;
    double activations = 0;
    double logits = 0;   // of one micro-batch and its gradient, where the head is
    double buffers = 0;  // dispatch and combine
    double reserve = 0;

    double states() const {
        return weights + gradients + master + moments;
    }
    double total() const {
        return states() + activations + logits + buffers + reserve;
    }
};

/// Of every pipeline rank. The layout must have passed check_layout.
std::vector<RankMemory> rank_memories(const model::ModelConfig& config, const Inputs& inputs);

/// The rank that needs most.
RankMemory fullest_rank(const model::ModelConfig& config, const Inputs& inputs);

/// One change of the layout, and what the fullest rank would need then.
struct Remedy {
    std::string change;  // "layout.ep 128"
    double bytes = 0;
    std::string price;  // what it costs
};
/// Changes that the model and the cluster allow, by need of memory.
std::vector<Remedy> remedies(const model::ModelConfig& config, const Inputs& inputs);

}  // namespace hadal::plan
