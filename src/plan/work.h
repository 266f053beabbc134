// Arithmetic of one token through a model, part by part: weights that it is multiplied with, and
// the core of attention, which grows with the sequence. A floating-point operation (FLOP) is a
// multiplication or an addition: two for each weight.
#pragma once

#include <cstdint>

#include "model/config.h"

namespace hadal::plan {

/// Of one layer or module; all of the model's layers of a kind are equal.
struct ModelWork {
    // Weights that a token is multiplied with.
    double attention = 0;       // A: all projections of one layer
    double up_projections = 0;  // the part of A that backward computes again (report §3.2.3)
    double routed = 0;          // the K chosen experts
    double shared = 0;
    double router = 0;
    double dense = 0;  // feed-forward of a dense layer
    double head = 0;
    double mtp_projection = 0;  // 2·d², eq. 21
    // Core of attention per (query, key) pair: 2·H·(qk + v) operations forward.
    double core = 0;
    double core_backward = 0;  // backward over forward: scores again, then dV, dP, dQ, dK
    // Elements of the rows that casts, norms and copies touch, per token.
    double attention_width = 0;
    double expert_width = 0;

    int64_t dense_layers = 0, moe_layers = 0, mtp = 0;

    int64_t layers() const {
        return dense_layers + moe_layers;
    }
    double feed_forward() const {
        return routed + shared + router;
    }
};

/// `mtp` modules; −1: as many as the configuration has.
ModelWork work_of(const model::ModelConfig& config, int64_t mtp = -1);

/// Forward FLOPs of one token by part.
struct PartFlops {
    double projections = 0, core = 0, routed = 0, shared = 0, router = 0, dense = 0, head = 0,
           mtp = 0;

    double without_mtp() const {
        return projections + core + routed + shared + router + dense + head;
    }
    double total() const {
        return without_mtp() + mtp;
    }
};

/// Mean over the positions of a sequence of that length; a causal query sees half of the keys.
PartFlops forward_flops(const ModelWork& work, double sequence, bool causal = true);

/// Forward and backward without what is computed again: three times forward. Model FLOPs
/// utilisation counts these; the published one leaves MTP out.
double training_flops(const ModelWork& work, double sequence, bool causal, bool with_mtp);

/// What a pipeline's stage carries on average, in MoE layers (dense layers in a model without):
/// head, MTP modules and dense layers by their FLOPs. Never below the whole layers of the fullest
/// stage.
double layers_per_stage(const ModelWork& work, double sequence, int64_t stages);

}  // namespace hadal::plan
