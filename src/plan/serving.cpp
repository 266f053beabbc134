#include "plan/serving.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "plan/placement.h"

namespace hadal::plan {

namespace {

[[noreturn]] void reject(const std::string& message) {
    throw Error(Error::Kind::bad_input, message);
}

void check_unit(const char* name, const model::ModelConfig& config, int64_t gpus,
                int64_t redundant) {
    const int64_t slots = config.n_routed_experts + redundant;
    if (config.n_routed_experts == 0) {
        if (gpus > 1) {
            reject(concat(name, ".gpus = ", gpus,
                          ": a model without experts is not spread by them (set it to 1)"));
        }
        return;
    }
    if (slots % gpus == 0) return;
    reject(concat(name, ": ", config.n_routed_experts, " experts and ", redundant,
                  " copies are not a multiple of ", gpus, " GPUs (set ", name, ".redundant to ",
                  (slots / gpus + 1) * gpus - config.n_routed_experts, ")"));
}

/// A GPU decodes in two micro-batches where there is communication to hide.
double parts_of(const Inputs& inputs) {
    return inputs.decode.gpus > 1 ? 2 : 1;
}

}  // namespace

void check_serving(const model::ModelConfig& config, const Inputs& inputs) {
    check_unit("prefill", config, inputs.prefill.gpus, inputs.prefill.redundant);
    check_unit("decode", config, inputs.decode.gpus, inputs.decode.redundant);
    if (inputs.prefill.gpus % inputs.prefill.tp != 0) {
        reject(concat("prefill.tp ", inputs.prefill.tp, " does not divide prefill.gpus ",
                      inputs.prefill.gpus));
    }
    matmul_peak(inputs);
}

double unit_weight_bytes(const model::ModelConfig& config, const Inputs& inputs, int64_t gpus,
                         int64_t tp, int64_t redundant) {
    const ParameterSizes sizes = parameter_sizes(config);
    double moe = 0, dense = 0;
    for (int64_t i = 0; i < config.num_hidden_layers; ++i) ++(config.is_moe_layer(i) ? moe : dense);
    const double slots = double(config.n_routed_experts + redundant) / double(gpus);
    const auto mtp = double(inputs.decode.mtp);
    (config.n_routed_experts > 0 ? moe : dense) += mtp;
    const double elements =
        mtp * sizes.mtp_extra + (moe + dense) * (sizes.attention / double(tp) + sizes.norms) +
        dense * sizes.dense + moe * (sizes.shared + sizes.router + slots * sizes.expert) +
        sizes.embedding + sizes.head;
    return elements * inputs.decode.weight_bytes;
}

PrefillPlan plan_prefill(const model::ModelConfig& config, const Inputs& inputs) {
    const Prefill& p = inputs.prefill;
    Inputs unit = inputs;
    unit.layout.tp = p.tp;
    unit.layout.ep = p.gpus;
    unit.layout.pp = 1;
    unit.layout.sequence = p.prompt;
    unit.layout.load_imbalance = p.load_imbalance;
    unit.efficiency.dispatch = unit.efficiency.combine = p.all_to_all;
    const auto layers = double(config.num_hidden_layers);
    const auto moe_layers = double(work_of(config).moe_layers);
    PrefillPlan plan;
    plan.weight_bytes = unit_weight_bytes(config, inputs, p.gpus, p.tp, p.redundant);
    plan.layer = layer_times(config, unit, p.tokens_per_gpu / 2);
    plan.compute = 2 * layers * plan.layer.compute_f();
    plan.network = 2 * moe_layers * plan.layer.network_f();
    plan.batch_seconds = overlapped(plan.compute, plan.network, inputs.efficiency.overlap_loss);
    plan.tokens_per_s_per_gpu = p.tokens_per_gpu / plan.batch_seconds;
    plan.loaded_computed = plan.tokens_per_s_per_gpu * p.load;
    plan.loaded_with_hits = plan.loaded_computed / (1 - p.cache_hits);
    // Mean wait before a server of fixed service time (M/D/1, Pollaczek and Khinchine).
    const double wait = p.load / (2 * (1 - p.load));
    plan.ttft = plan.batch_seconds * (1 + wait);
    return plan;
}

double expected_tokens(int64_t drafts, double acceptance) {
    double sum = 1, chain = 1;
    for (int64_t i = 0; i < drafts; ++i) {
        chain *= acceptance;
        sum += chain;
    }
    return sum;
}

namespace {

/// Collects kernels of one micro-batch of `tokens` queries from `requests`.
class Roofline {
  public:
    explicit Roofline(const Inputs& inputs)
        : bandwidth_(inputs.gpu.memory_gb_per_s * 1e9 * inputs.decode.memory_bandwidth) {}

    void add(const char* name, double bytes, double flops, double rate) {
        if (bytes + flops == 0) return;
        kernels.push_back({name, bytes, flops, bytes / bandwidth_, flops / rate});
    }

    std::vector<KernelTime> kernels;

  private:
    double bandwidth_;
};

/// Routed experts of one GPU: those of its slots that some token chose are read.
void add_experts(const model::ModelConfig& config, const Inputs& inputs, double tokens, double rate,
                 Roofline& roofline) {
    const Decode& d = inputs.decode;
    const ModelWork work = work_of(config);
    const auto gpus = double(d.gpus), k = double(config.num_experts_per_tok);
    const double slots = double(config.n_routed_experts + (d.gpus > 1 ? d.redundant : 0));
    // Chance that no token of the unit chose a slot, choices taken as independent.
    const double idle = std::pow(1 - k / slots, tokens * gpus);
    const double touched = slots / gpus * (1 - idle);
    const double expert = parameter_sizes(config).expert;
    const auto layers = double(work.moe_layers + d.mtp);
    roofline.add("routed experts", layers * touched * expert * d.weight_bytes,
                 2 * layers * tokens * work.routed * d.load_imbalance,
                 rate * inputs.efficiency.grouped_gemm);
}

/// Low-latency exchange: each token goes to each of its experts on its own. Report §3.4.2.
double exchange_seconds(const model::ModelConfig& config, const Inputs& inputs, double tokens) {
    const Decode& d = inputs.decode;
    if (d.gpus == 1 || config.n_routed_experts == 0) return 0;
    const auto layers = double(work_of(config).moe_layers + d.mtp);
    const double row =
        double(config.hidden_size) * (bytes_per_element(inputs.layout.precision) +
                                      bytes_per_element(inputs.layout.combine_precision));
    const bool one_domain = double(d.gpus) <= inputs.network.gpus_per_node;
    const double link =
        one_domain ? inputs.network.scale_up_gb_per_s : inputs.network.scale_out_gb_per_s;
    const double bytes = tokens * double(config.num_experts_per_tok) * row * d.load_imbalance;
    return layers * (bytes / (link * 1e9 * d.all_to_all) + 2 * d.all_to_all_us / 1e6);
}

/// One micro-batch: `requests` of `context` tokens, drafts in it as more queries of each. An MTP
/// module is one layer more.
std::vector<KernelTime> decode_kernels(const model::ModelConfig& config, const Inputs& inputs,
                                       double requests, double context) {
    const Decode& d = inputs.decode;
    const ModelWork work = work_of(config, 0);
    const double tokens = requests * double(1 + d.mtp);
    const double peak = matmul_peak(inputs);
    const double dense_rate = peak * inputs.efficiency.dense_gemm;
    const bool moe = work.moe_layers > 0;
    const auto layers = double(work.layers() + d.mtp);
    const auto moe_layers = double(work.moe_layers + (moe ? d.mtp : 0));
    Roofline roofline(inputs);
    const auto matrix = [&](const char* name, double count, double weights) {
        roofline.add(name, count * weights * d.weight_bytes, 2 * count * tokens * weights,
                     dense_rate);
    };
    matrix("attention projections", layers, work.attention);
    // Absorbed form: queries against latents, 2·H·(2·kv_lora + rope) a cached token.
    const double latent = double(config.latent_dim());
    const double core =
        2 * double(config.num_attention_heads) * (latent + double(config.kv_lora_rank));
    roofline.add("latent attention", layers * requests * context * latent * d.kv_bytes_per_element,
                 layers * tokens * context * core, inputs.gpu.bf16_tflops * 1e12 * d.attention);
    matrix("dense feed-forward", layers - moe_layers, work.dense);
    matrix("shared experts", moe_layers, work.shared);
    if (moe)
        add_experts(config, inputs, tokens, dense_rate / inputs.efficiency.dense_gemm, roofline);
    matrix("heads", double(1 + d.mtp), work.head);
    matrix("MTP projections", double(d.mtp), work.mtp_projection);
    return roofline.kernels;
}

}  // namespace

DecodeStep decode_step(const model::ModelConfig& config, const Inputs& inputs, double batch,
                       double context) {
    const Decode& d = inputs.decode;
    const double parts = parts_of(inputs);
    DecodeStep result{.batch = batch};
    result.kernels = decode_kernels(config, inputs, batch / parts, context);
    for (KernelTime& kernel : result.kernels) {
        for (double* value :
             {&kernel.bytes, &kernel.flops, &kernel.memory_seconds, &kernel.compute_seconds})
            *value *= parts;
        result.compute += kernel.seconds();
    }
    result.network = parts * exchange_seconds(config, inputs, batch / parts * double(1 + d.mtp));
    result.bound = std::max(result.compute, result.network);
    result.step = d.gpus > 1 ? result.bound / d.bound_share : result.bound;
    result.tokens_per_step = expected_tokens(d.mtp, d.acceptance);
    result.tokens_per_s_per_user = result.tokens_per_step / result.step;
    result.tokens_per_s_per_gpu = batch * result.tokens_per_s_per_user;
    return result;
}

namespace {

/// The largest batch that keeps the speed and fits; at least one.
double largest_batch(const model::ModelConfig& config, const Inputs& inputs, double max_requests) {
    const auto context = double(inputs.decode.context);
    double low = 1, high = std::max(1.0, std::floor(max_requests));
    for (int halvings = 0; halvings < 64 && high - low > 0.5; ++halvings) {
        const double middle = (low + high) / 2;
        const DecodeStep step = decode_step(config, inputs, middle, context);
        (step.tokens_per_s_per_user >= inputs.decode.tokens_per_s_per_user ? low : high) = middle;
    }
    return std::floor(high);
}

}  // namespace

DecodePlan plan_decode(const model::ModelConfig& config, const Inputs& inputs) {
    const Decode& d = inputs.decode;
    DecodePlan plan;
    plan.weight_bytes = unit_weight_bytes(config, inputs, d.gpus, 1, d.redundant);
    plan.kv_bytes_per_token = double(config.num_hidden_layers + d.mtp) *
                              double(config.latent_dim()) * d.kv_bytes_per_element;
    const double room = inputs.gpu.memory_gb * 1e9 - plan.weight_bytes - d.reserve_gb * 1e9;
    plan.kv_tokens = std::max(0.0, room) / plan.kv_bytes_per_token;
    plan.max_requests = plan.kv_tokens / double(d.context);
    if (plan.max_requests < 1) {
        reject(concat("decode: ", std::round(plan.weight_bytes / 1e8) / 10,
                      " GB of weights and a cache of ", d.context, " tokens do not fit into ",
                      inputs.gpu.memory_gb,
                      " GB (raise decode.gpus, or lower decode.context, "
                      "decode.weight_bytes or decode.reserve_gb)"));
    }
    if (double(d.batch) > plan.max_requests) {
        reject(concat("decode.batch = ", d.batch, ": caches of ", std::floor(plan.max_requests),
                      " requests fit (lower it, or "
                      "decode.context)"));
    }
    const double batch =
        d.batch > 0 ? double(d.batch) : largest_batch(config, inputs, plan.max_requests);
    plan.step = decode_step(config, inputs, batch, double(d.context));
    Inputs drafting = inputs;
    drafting.decode.mtp = std::max<int64_t>(1, d.mtp);
    plan.alone_drafting = decode_step(config, drafting, 1, double(d.context));
    drafting.decode.mtp = 0;
    plan.alone = decode_step(config, drafting, 1, double(d.context));
    const double row = 3 * double(config.hidden_size);  // FP8 out, BF16 back
    const double copies = double(config.num_experts_per_tok + config.n_shared_experts);
    const double seconds = 2 * double(config.num_hidden_layers) * 32 * copies * row /
                           (inputs.network.scale_out_gb_per_s * 1e9);
    plan.link_bound = 1 / seconds;
    return plan;
}

SinglePlan plan_single(const model::ModelConfig& config, const Inputs& inputs) {
    Inputs alone = inputs;
    alone.decode.gpus = 1;
    alone.decode.redundant = 0;
    alone.layout.ep = alone.layout.tp = alone.layout.pp = 1;
    alone.layout.sequence = inputs.prefill.prompt;
    SinglePlan plan;
    plan.weight_bytes = unit_weight_bytes(config, alone, 1, 1, 0);
    const auto prompt = double(inputs.prefill.prompt);
    const LayerTimes layer = layer_times(config, alone, prompt);
    const double arithmetic = double(config.num_hidden_layers) * layer.compute_f();
    const double reading =
        plan.weight_bytes / (inputs.gpu.memory_gb_per_s * 1e9 * inputs.decode.memory_bandwidth);
    plan.ttft = std::max(arithmetic, reading);
    plan.prefill_tokens_per_s = prompt / plan.ttft;
    const double kv = double(config.num_hidden_layers) * double(config.latent_dim()) *
                      inputs.decode.kv_bytes_per_element;
    const double room =
        inputs.gpu.memory_gb * 1e9 - inputs.layout.reserve_gb * 1e9 - plan.weight_bytes;
    plan.fits = room >= kv * prompt;
    for (double batch = 1; batch <= 128; batch *= 2) {
        if (plan.fits && batch * kv * prompt > room) break;
        plan.steps.push_back(decode_step(config, alone, batch, prompt));
    }
    return plan;
}

}  // namespace hadal::plan
