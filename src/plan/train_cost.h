// What training costs: a step from its chunks, and a run from its steps.
#pragma once

#include "plan/layer_times.h"
#include "plan/work.h"

namespace hadal::plan {

/// Seconds of one step on one rank, split as published: the sum is the step.
struct StepTimes {
    int64_t micro_batches = 0;
    // Counts of chunks: F with B, F alone, B with its W, W alone. As many B alone as F alone.
    double pairs = 0, singles = 0, full_backwards = 0, deferred = 0;
    double forward = 0;          // 1F
    double backward = 0;         // 1B
    double weight = 0;           // 1W
    double paired = 0;           // 1F1B
    double schedule_bubble = 0;  // the schedule's own
    double imbalance = 0;        // waiting for the fullest stage
    double optimizer = 0;

    double bubble() const {
        return schedule_bubble + imbalance;
    }
    double total() const {
        return forward + backward + weight + paired + bubble() + optimizer;
    }
};

/// Counts and bubble from the simulated schedule, rank 0. check_layout first.
StepTimes step_times(const model::ModelConfig& config, const Inputs& inputs);

/// Reduce-scatter of gradients, update, all-gather of weights, inside nodes first.
double optimizer_seconds(const model::ModelConfig& config, const Inputs& inputs);

struct TrainCost {
    ModelWork work;
    LayerTimes layer = {};
    double stage_layers = 0;
    ChunkTimes chunk = {};
    StepTimes step = {};

    double tokens_per_step = 0;
    double tokens_per_s = 0;  // of the cluster
    double tokens_per_s_per_gpu = 0;
    double causal_flops = 0, full_flops = 0, mtp_flops = 0;  // per token, trained
    double achieved_causal = 0, achieved_full = 0;           // FLOP/s per GPU
    double mfu_causal = 0, mfu_full = 0, mfu_format = 0;     // the last: of the format's own peak
    double gpu_hours_per_trillion = 0, days_per_trillion = 0;
    double pretraining_gpu_hours = 0, context_gpu_hours = 0, post_training_gpu_hours = 0;
    double days = 0;  // of pre-training
    double gpu_hours = 0, dollars = 0;
    double gpu_kwh = 0, facility_kwh = 0, carbon_kg = 0;
};
TrainCost train_cost(const model::ModelConfig& config, const Inputs& inputs);

}  // namespace hadal::plan
