// Everything a plan is computed from: the machine, the efficiency of its software, the layout of a
// run, prices. Each figure has a name, a unit and a source; nothing that changes an answer is
// anywhere else.
#pragma once

#include <cstdint>
#include <limits>
#include <map>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace hadal::plan {

/// A figure that a cluster's file has to give.
inline constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();

struct Gpu {
    std::string name;
    double bf16_tflops = kMissing;  // dense peak, here and below; 0: the chip lacks the type
    double fp8_tflops = kMissing;
    double fp4_tflops = 0;
    double memory_gb = kMissing;
    double memory_gb_per_s = kMissing;
    double tdp_watts = kMissing;
};

/// Per GPU and direction.
struct Network {
    double gpus_per_node = 8;              // GPUs of one scale-up domain
    double scale_up_gb_per_s = kMissing;   // NVLink
    double scale_out_gb_per_s = kMissing;  // InfiniBand
    double host_gb_per_s = 25;             // to the host's memory
};

/// What kernels reach, as shares of the peaks above, and what surrounds them.
struct Efficiency {
    double dense_gemm = kMissing;
    double grouped_gemm = kMissing;
    double weight_gradient_gemm = kMissing;  // with its casts and transposes
    double attention_forward = kMissing;
    double attention_backward = kMissing;
    double elementwise_bandwidth = kMissing;
    // Bytes that casts, norms, copies and permutations move, per element of the rows they work on.
    double attention_forward_bytes = kMissing;
    double attention_backward_bytes = kMissing;
    double expert_forward_bytes = kMissing;
    double expert_backward_bytes = kMissing;
    double dispatch = kMissing;
    double combine = kMissing;
    double all_to_all_sync_ms = kMissing;  // per operation
    double collective = kMissing;          // reduce-scatter, all-gather, point to point
    double overlap_loss = kMissing;        // of the shorter stream, when two overlap
};

/// From a quiet trace to a long run.
struct Production {
    double compute_slowdown = 1;
    double network_slowdown = 1;
    double warmup_exposed = 0;   // share of communication not hidden in unpaired chunks of DualPipe
    double serial_exposed = 1;   // the same in schedules that never pair
    double stage_imbalance = 0;  // share of the steady phase lost to uneven stages
};

struct Layout {
    int64_t gpus = 2048;
    int64_t pp = 16;
    int64_t ep = 64;
    int64_t tp = 1;
    int64_t zero = 1;  // 1: moments and master weights split; 2: gradients too; 3: weights too
    std::string schedule = "dualpipe";
    int64_t virtual_stages = 2;  // of interleaved 1F1B
    std::string precision = "fp8";
    std::string combine_precision = "bf16";
    std::string recompute = "report";
    int64_t batch = 15360;  // sequences
    int64_t micro_batch = 1;
    int64_t sequence = 4096;
    int64_t mtp = -1;  // depth; −1: the model's
    double nodes = 0;  // that a token may go to; 0: as the router's groups say
    double load_imbalance = 1;
    double reserve_gb = 4;  // allocator, libraries
    double weight_bytes = 2;
    double cached_weight_bytes = 0;
    double gradient_bytes = 4;
    double master_bytes = 4;
    double moment_bytes = 4;  // both

    int64_t dp() const {
        return gpus / (pp * tp);
    }
    /// Of one pipeline in one step.
    int64_t micro_batches() const {
        return batch / (dp() * micro_batch);
    }
    /// Whether forward and backward chunks of two micro-batches hide each other's communication.
    bool bidirectional() const {
        return schedule == "dualpipe" || schedule == "dualpipev";
    }
    /// Stages that a model is cut into; more than ranks where a rank holds several.
    int64_t stages() const {
        const bool vee = schedule == "dualpipev" || schedule == "zb-v";
        return pp * (vee ? 2 : schedule == "interleaved" ? virtual_stages : 1);
    }
    /// Ranks that hold a copy of a stage, over those without DualPipe's second copy.
    int64_t copies() const {
        return schedule == "dualpipe" ? 2 : 1;
    }
};

struct Run {
    double tokens = 14.8e12;
    double context_tokens = 125.8e9;
    double context_mfu = 0.2535;
    double post_training_gpu_hours = 5000;
};

struct Cost {
    double gpu_hour_dollars = 2;
    double node_watts_per_gpu = 1275;
    double load = 0.8;
    double pue = 1.2;
    double carbon_kg_per_kwh = 0.4;
};

struct Prefill {
    int64_t gpus = 32;
    int64_t tp = 1;
    int64_t redundant = 32;
    int64_t prompt = 4096;
    double tokens_per_gpu = 16384;  // of one batch
    double cache_hits = 0.563;
    double all_to_all = 1.15;
    double load = 0.514;
    double load_imbalance = 1;
};

struct Decode {
    int64_t gpus = 144;
    int64_t redundant = 32;
    int64_t context = 4989;  // tokens in the cache of a request, mean
    double tokens_per_s_per_user = 21;
    int64_t batch = 0;  // requests per GPU; 0: what the speed per user allows
    int64_t mtp = 0;    // drafted tokens per step
    double acceptance = 0.85;
    double memory_bandwidth = 0.85;
    double attention = 0.667;
    double kv_bytes_per_element = 2;
    double weight_bytes = 1;
    double all_to_all = 0.838;
    double all_to_all_us = 15;
    double bound_share = 0.62;
    double load_imbalance = 1;
    double load = 0.796;
    double reserve_gb = 8;
};

struct Demand {
    double input_tokens_per_day = 608e9;
    double output_tokens_per_day = 168e9;
    double users = 10000;
};

struct Failures {
    double gpu_hours_between = 50677;
    double snapshot_s = 5;
    double restart_s = 600;
    int64_t trials = 4000;
};

/// Where a value comes from, and how much it is worth.
struct Origin {
    enum class Kind { source, calibrated, assumed, given };
    Kind kind = Kind::source;
    std::string text;
};
std::string_view name(Origin::Kind kind);

struct Inputs {
    std::string cluster = "h800-2048";
    std::string model = "v3-671b";
    std::vector<std::string> scenarios;
    Gpu gpu;
    Network network;
    Efficiency efficiency;
    Production production;
    Layout layout;
    Run run;
    Cost cost;
    Prefill prefill;
    Decode decode;
    Demand demand;
    Failures failures;
    std::map<std::string, Origin, std::less<>> origins;  // by key; absent: the key's own default
};

/// One line of the table of inputs.
struct InputKey {
    using Target = std::variant<int64_t*, double*, std::string*>;

    std::string name;  // "layout.pp"
    Target target;     // into the Inputs given
    std::string_view unit;
    std::string_view help;
    double minimum = 0;
    double maximum = 1e18;
    std::vector<std::string_view> choices = {};
    Origin fallback = {};  // of the value that Inputs is born with
};
std::vector<InputKey> input_keys(Inputs& inputs);

/// Origin of a key's present value.
const Origin& origin_of(const Inputs& inputs, const InputKey& key);

/// Sets the key called `name`, or whose last part is `name` where that is unique or the layout's.
/// `text` is what a user typed: 15360, 14.8e12, dualpipe. Error(bad_input) names the nearest key,
/// the range, or the choices; `where` goes into the message.
void set_input(Inputs& inputs, std::string_view name, std::string_view text, const Origin& origin,
               std::string_view where);

/// The full name of a key as set_input finds it.
std::string full_input_name(std::string_view name, std::string_view where);

/// Error(bad_input) for a figure that the cluster's file leaves out.
void check_complete(const Inputs& inputs);

}  // namespace hadal::plan
