// Times of one layer by part, and of a pipeline's chunk made of such layers: roofline with the
// efficiencies of the inputs.
#pragma once

#include "plan/all_to_all.h"
#include "plan/inputs.h"
#include "plan/work.h"

namespace hadal::plan {

/// Seconds of one MoE layer for one micro-batch on one GPU. F forward, B gradient of the input, W
/// gradient of the weights. The backward of dispatch is a combine and the other way round.
struct LayerTimes {
    double attention_f = 0, attention_b = 0, attention_w = 0;
    double experts_f = 0, experts_b = 0, experts_w = 0;
    double dispatch_f = 0, combine_f = 0, dispatch_b = 0, combine_b = 0;
    double sync = 0;      // of one of the four
    double tensor_f = 0;  // all-gather and reduce-scatter of tensor parallelism, forward
    double send = 0;      // of a chunk's result to the next stage: once a chunk, not a layer

    double compute_f() const {
        return attention_f + experts_f + tensor_f;
    }
    double compute_b() const {
        return attention_b + experts_b + tensor_f;
    }
    double compute_w() const {
        return attention_w + experts_w;
    }
    double network_f() const {
        return dispatch_f + combine_f + 2 * sync;
    }
    double network_b() const {
        return dispatch_b + combine_b + 2 * sync;
    }
};

/// For `tokens` on one GPU, as in a quiet trace: without Production's slow-downs.
LayerTimes layer_times(const model::ModelConfig& config, const Inputs& inputs, double tokens);

/// Of one micro-batch on one GPU. Tensor parallelism runs with sequence parallelism: a rank has its
/// share of everything.
double micro_batch_tokens(const Layout& layout);

/// Peak in FLOP/s of the layout's matrix products. Error(bad_input) if the GPU lacks the type.
double matmul_peak(const Inputs& inputs);

/// Of a chunk: one micro-batch through one stage. Seconds.
struct ChunkTimes {
    double f = 0, b = 0, w = 0;  // b: gradient of the input alone
    double pair = 0;             // a forward and a full backward chunk that hide each other's
                                 // communication; 0 where the schedule has none

    double full_b() const {
        return b + w;
    }
};

/// `layers` a stage; what two overlapping streams take: max + overlap_loss·min.
ChunkTimes chunk_times(const LayerTimes& layer, const Inputs& inputs, double layers);

double overlapped(double one, double other, double loss);

}  // namespace hadal::plan
