// What serving costs: the prefilling unit, the decoding unit at any batch, one machine alone.
// Rooflines of the kernels, with two micro-batches that hide each other's communication.
#pragma once

#include <string>
#include <vector>

#include "plan/inputs.h"
#include "plan/layer_times.h"

namespace hadal::plan {

/// Error(bad_input) unless the units can hold this model's experts.
void check_serving(const model::ModelConfig& config, const Inputs& inputs);

/// Bytes of weights on one GPU of a unit: everything but routed experts whole (attention over tp),
/// its slots of the routed experts and their copies.
double unit_weight_bytes(const model::ModelConfig& config, const Inputs& inputs, int64_t gpus,
                         int64_t tp, int64_t redundant);

struct PrefillPlan {
    double weight_bytes = 0;
    LayerTimes layer;    // of one of the two micro-batches
    double compute = 0;  // seconds of a batch
    double network = 0;
    double batch_seconds = 0;  // both overlapped
    double tokens_per_s_per_gpu = 0;
    double loaded_computed = 0;  // per GPU at the day's load
    double loaded_with_hits = 0;
    double ttft = 0;  // its own batch and the wait for the one before, at that load
};
PrefillPlan plan_prefill(const model::ModelConfig& config, const Inputs& inputs);

/// One kernel of a decoding step, all layers, both micro-batches.
struct KernelTime {
    std::string name;
    double bytes = 0, flops = 0;
    double memory_seconds = 0, compute_seconds = 0;

    double seconds() const {
        return memory_seconds > compute_seconds ? memory_seconds : compute_seconds;
    }
};

struct DecodeStep {
    double batch = 0;  // requests per GPU
    std::vector<KernelTime> kernels = {};
    double compute = 0, network = 0;  // seconds
    double bound = 0;                 // the longer of both; their sum where nothing overlaps
    double step = 0;                  // what is reached
    double tokens_per_step = 1;       // per request, with speculation
    double tokens_per_s_per_user = 0;
    double tokens_per_s_per_gpu = 0;
};
/// `context` tokens in each request's cache.
DecodeStep decode_step(const model::ModelConfig& config, const Inputs& inputs, double batch,
                       double context);

/// 1 + p + p² + … : tokens that a step with `drafts` drafts yields.
double expected_tokens(int64_t drafts, double acceptance);

struct DecodePlan {
    double weight_bytes = 0;
    double kv_bytes_per_token = 0;
    double kv_tokens = 0;       // that fit on one GPU
    double max_requests = 0;    // per GPU, of the mean length
    DecodeStep step;            // at the batch asked for, or the largest that keeps the speed
    DecodeStep alone;           // one request, nothing drafted
    DecodeStep alone_drafting;  // one request with one draft, or as many as decode.mtp
    double link_bound = 0;      // tokens/s of a user whatever the kernels: 32 tokens a GPU at full
                                // link rate (Insights into DeepSeek-V3, §2.3.2)
};
DecodePlan plan_decode(const model::ModelConfig& config, const Inputs& inputs);

/// A single machine: all experts in one memory, nothing to exchange.
struct SinglePlan {
    double weight_bytes = 0;
    bool fits = false;
    double prefill_tokens_per_s = 0;
    double ttft = 0;                // of one prompt alone
    std::vector<DecodeStep> steps;  // batch 1, 2, 4 … 128
};
SinglePlan plan_single(const model::ModelConfig& config, const Inputs& inputs);

}  // namespace hadal::plan
