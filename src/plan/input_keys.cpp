// The table of inputs: name, place, unit, meaning, range, and the source of what stands there
// unless a preset or the user says otherwise.
#include "pipeline/schedule.h"
#include "plan/inputs.h"

namespace hadal::plan {

namespace {

struct Range {
    double minimum = 0, maximum = 1e18;
};

class KeyTable {
  public:
    void add(const char* name, InputKey::Target target, const char* unit, const char* help,
             Range range = {}, Origin origin = {}) {
        keys_.push_back({.name = name,
                         .target = target,
                         .unit = unit,
                         .help = help,
                         .minimum = range.minimum,
                         .maximum = range.maximum,
                         .fallback = std::move(origin)});
    }
    /// A word out of several.
    void add(const char* name, InputKey::Target target, const char* unit, const char* help,
             std::vector<std::string_view> choices, Origin origin) {
        add(name, target, unit, help, Range(), std::move(origin));
        keys_.back().choices = std::move(choices);
    }
    std::vector<InputKey> take() {
        return std::move(keys_);
    }

  private:
    std::vector<InputKey> keys_;
};

Origin published(std::string text) {
    return {Origin::Kind::source, std::move(text)};
}
Origin assumed(std::string text) {
    return {Origin::Kind::assumed, std::move(text)};
}
Origin calibrated(std::string text) {
    return {Origin::Kind::calibrated, std::move(text)};
}

void machine_keys(Inputs& in, KeyTable& table) {
    Gpu& gpu = in.gpu;
    Network& net = in.network;
    table.add("gpu.name", &gpu.name, "", "the chip");
    table.add("gpu.bf16_tflops", &gpu.bf16_tflops, "TFLOP/s", "dense BF16 peak", {1e-3, 1e18});
    table.add("gpu.fp8_tflops", &gpu.fp8_tflops, "TFLOP/s", "dense FP8 peak, 0 if it has none");
    table.add("gpu.fp4_tflops", &gpu.fp4_tflops, "TFLOP/s", "dense FP4 peak, 0 if it has none",
              Range(), assumed("none unless its cluster says so"));
    table.add("gpu.memory_gb", &gpu.memory_gb, "GB", "memory of one GPU", {1e-3, 1e18});
    table.add("gpu.memory_gb_per_s", &gpu.memory_gb_per_s, "GB/s", "its bandwidth", {1e-3, 1e18});
    table.add("gpu.tdp_watts", &gpu.tdp_watts, "W", "design power", {1});
    table.add("network.gpus_per_node", &net.gpus_per_node, "", "GPUs of a scale-up domain",
              {1, 1e6}, published("eight GPUs in a node"));
    table.add("network.scale_up_gb_per_s", &net.scale_up_gb_per_s, "GB/s",
              "per GPU and direction inside a node (NVLink)", {1e-3, 1e18});
    table.add("network.scale_out_gb_per_s", &net.scale_out_gb_per_s, "GB/s",
              "per GPU and direction between nodes (InfiniBand)", {1e-3, 1e18});
    table.add("network.host_gb_per_s", &net.host_gb_per_s, "GB/s", "from a GPU to host memory",
              {1e-3, 1e6}, assumed("half of PCIe 5 x16"));
}

void efficiency_keys(Inputs& in, KeyTable& table) {
    Efficiency& e = in.efficiency;
    const auto share = [&](const char* name, double* target, const char* help) {
        table.add(name, target, "share", help, {1e-4, 1});
    };
    share("efficiency.dense_gemm", &e.dense_gemm, "dense matrix products, of the format's peak");
    share("efficiency.grouped_gemm", &e.grouped_gemm, "expert matrix products, of the peak");
    share("efficiency.weight_gradient_gemm", &e.weight_gradient_gemm,
          "weight gradients with their casts, of the peak");
    share("efficiency.attention_forward", &e.attention_forward, "of the BF16 peak");
    share("efficiency.attention_backward", &e.attention_backward, "of the BF16 peak");
    share("efficiency.elementwise_bandwidth", &e.elementwise_bandwidth,
          "norms, casts, copies: of the memory's bandwidth");
    share("efficiency.dispatch", &e.dispatch, "of the network's bandwidth");
    share("efficiency.combine", &e.combine, "of the network's bandwidth");
    share("efficiency.collective", &e.collective,
          "reduce-scatter, all-gather, point to point: of the network's bandwidth");
    const auto bytes = [&](const char* name, double* target) {
        table.add(name, target, "B/element", "memory traffic of a layer's elementwise work",
                  {0, 1e3});
    };
    bytes("efficiency.attention_forward_bytes", &e.attention_forward_bytes);
    bytes("efficiency.attention_backward_bytes", &e.attention_backward_bytes);
    bytes("efficiency.expert_forward_bytes", &e.expert_forward_bytes);
    bytes("efficiency.expert_backward_bytes", &e.expert_backward_bytes);
    table.add("efficiency.all_to_all_sync_ms", &e.all_to_all_sync_ms, "ms",
              "counts and barriers around one dispatch or combine", {0, 1e3});
    table.add("efficiency.overlap_loss", &e.overlap_loss, "share",
              "of the shorter of two overlapped streams", {0, 1});
    Production& p = in.production;
    const Origin none = assumed("none: a quiet cluster");
    table.add("production.compute_slowdown", &p.compute_slowdown, "times",
              "kernels in a long run over those in the trace", {0.1, 100}, none);
    table.add("production.network_slowdown", &p.network_slowdown, "times",
              "all-to-all in a long run over that in the trace", {0.1, 100}, none);
    table.add("production.warmup_exposed", &p.warmup_exposed, "share",
              "communication not hidden in DualPipe's unpaired chunks", {0, 1}, none);
    table.add("production.serial_exposed", &p.serial_exposed, "share",
              "communication not hidden in schedules without pairs", {0, 1},
              published("report §3.2.1: nothing hides it; about 1 : 1 with computation"));
    table.add("production.stage_imbalance", &p.stage_imbalance, "share",
              "of the steady phase, lost to uneven stages", {0, 10}, none);
}

std::vector<std::string_view> schedule_names() {
    std::vector<std::string_view> names;
    for (const pipeline::ScheduleKind& kind : pipeline::schedule_kinds())
        names.push_back(kind.name);
    return names;
}

void layout_keys(Inputs& in, KeyTable& table) {
    Layout& l = in.layout;
    const Origin report = published("report §3.2: PP16, EP64, ZeRO-1 on 2048 GPUs, no TP");
    const Origin batch = published("report §4.2: 15360 sequences of 4096 tokens");
    table.add("layout.gpus", &l.gpus, "", "GPUs of the run", {1, 1e8}, report);
    table.add("layout.pp", &l.pp, "", "pipeline ranks", {1, 1e4}, report);
    table.add("layout.ep", &l.ep, "", "GPUs that share a layer's experts", {1, 1e5}, report);
    table.add("layout.tp", &l.tp, "", "GPUs that share an attention head's work", {1, 1e3}, report);
    table.add("layout.zero", &l.zero, "", "ZeRO stage", {0, 3}, report);
    table.add("layout.schedule", &l.schedule, "", "of the pipeline", schedule_names(),
              published("report §3.2.1"));
    table.add("layout.virtual_stages", &l.virtual_stages, "", "stages per rank when interleaved",
              {1, 100}, assumed("two"));
    table.add("layout.precision", &l.precision, "", "of matrix products and dispatch",
              {"bf16", "fp8", "mxfp8", "nvfp4"}, published("report §3.3"));
    table.add("layout.combine_precision", &l.combine_precision, "", "of combine",
              {"bf16", "fp8", "mxfp8", "nvfp4"}, published("report §3.3.3"));
    table.add("layout.recompute", &l.recompute, "", "what backward computes again",
              {"none", "report", "redispatch", "full"}, published("report §3.2.3, §3.3.3"));
    table.add("layout.batch", &l.batch, "sequences", "of one step", {1, 1e9}, batch);
    table.add("layout.micro_batch", &l.micro_batch, "sequences", "of one chunk", {1, 1e6},
              published("profile-data: one sequence"));
    table.add("layout.sequence", &l.sequence, "tokens", "of one sequence", {1, 1e8}, batch);
    table.add("layout.mtp", &l.mtp, "", "depth of multi-token prediction, -1: the model's",
              {-1, 64}, published("the model's config.json"));
    table.add("layout.nodes", &l.nodes, "",
              "nodes that a token goes to; 0: the model's router says", {0, 1e4},
              published("the model's config.json; report §2.1.2: at most 4"));
    table.add("layout.load_imbalance", &l.load_imbalance, "times",
              "tokens of the busiest expert rank over the mean", {1, 1e3},
              published("profile-data: balanced"));
    table.add("layout.reserve_gb", &l.reserve_gb, "GB", "allocator and libraries", {0, 1e4},
              assumed("context, communicators, fragmentation"));
    table.add("layout.weight_bytes", &l.weight_bytes, "B", "of a weight to compute with", {0.25, 8},
              published("report §3.3: cast to FP8 when used"));
    table.add("layout.cached_weight_bytes", &l.cached_weight_bytes, "B",
              "of a narrow copy kept between micro-batches", {0, 2},
              assumed("none is kept: cast when used"));
    table.add("layout.gradient_bytes", &l.gradient_bytes, "B", "of an accumulated gradient", {1, 8},
              published("report §3.3.2: FP32"));
    table.add("layout.master_bytes", &l.master_bytes, "B", "of a master weight", {0, 8},
              published("report §3.3.3: FP32"));
    table.add("layout.moment_bytes", &l.moment_bytes, "B", "of both moments", {0, 16},
              published("report §3.3.3: BF16"));
}

void run_keys(Inputs& in, KeyTable& table) {
    Run& run = in.run;
    Cost& cost = in.cost;
    const Origin table_1 = published("report table 1");
    table.add("run.tokens", &run.tokens, "tokens", "of pre-training", {0, 1e18},
              published("report §4.2: 14.8T"));
    table.add("run.context_tokens", &run.context_tokens, "tokens", "of context extension",
              {0, 1e18}, published("report §4.3: 1000 × 1920 × 32K and 1000 × 480 × 128K"));
    table.add("run.context_mfu", &run.context_mfu, "share", "of the BF16 peak, at 32K and 128K",
              {1e-3, 1}, calibrated("report table 1: 119K hours; its layout is not published"));
    table.add("run.post_training_gpu_hours", &run.post_training_gpu_hours, "h", "SFT and RL",
              {0, 1e15}, table_1);
    table.add("cost.gpu_hour_dollars", &cost.gpu_hour_dollars, "$/h", "rent of one GPU", {0, 1e6},
              table_1);
    table.add("cost.node_watts_per_gpu", &cost.node_watts_per_gpu, "W", "a node's maximum / GPUs",
              {1, 1e6}, published("10.2 kW for a node of eight (vendor)"));
    table.add("cost.load", &cost.load, "share", "mean power over maximum", {0, 1},
              assumed("0.65 … 0.95 are usual"));
    table.add("cost.pue", &cost.pue, "times", "the facility's power over the nodes'", {1, 10},
              assumed("1.1 … 1.3 are usual"));
    table.add("cost.carbon_kg_per_kwh", &cost.carbon_kg_per_kwh, "kg/kWh", "intensity of the grid",
              {0, 10}, assumed("a mixed grid"));
}

void prefill_keys(Inputs& in, KeyTable& table) {
    Prefill& p = in.prefill;
    const Origin unit = published("report §3.4.1");
    const Origin day = published("open-infra-index, day of 2025-02-28");
    table.add("prefill.gpus", &p.gpus, "", "of one unit; also its expert parallelism", {1, 1e5},
              unit);
    table.add("prefill.tp", &p.tp, "", "tensor parallelism of attention", {1, 1e3},
              published("profile-data; the report's unit has 4"));
    table.add("prefill.redundant", &p.redundant, "", "copies of experts", {0, 1e5}, unit);
    table.add("prefill.prompt", &p.prompt, "tokens", "of one request", {1, 1e8},
              published("profile-data: 4K prompts"));
    table.add("prefill.tokens_per_gpu", &p.tokens_per_gpu, "tokens", "of one batch", {1, 1e9},
              published("profile-data: 16K tokens per GPU"));
    table.add("prefill.cache_hits", &p.cache_hits, "share", "of the input found in a cache",
              {0, 0.999}, day);
    table.add("prefill.load", &p.load, "share", "tokens computed over capacity, mean of a day",
              {1e-3, 0.99},
              calibrated("the day's 32.2k computed tokens/s per node over the profile's 62.7k"));
    table.add("prefill.load_imbalance", &p.load_imbalance, "times",
              "busiest expert rank over the mean", {1, 1e3}, published("profile-data: balanced"));
}

void decode_keys(Inputs& in, KeyTable& table) {
    Decode& d = in.decode;
    const Origin day = published("open-infra-index, day of 2025-02-28");
    table.add("decode.gpus", &d.gpus, "", "of one unit; also its expert parallelism", {1, 1e5},
              day);
    table.add("decode.redundant", &d.redundant, "", "copies of experts", {0, 1e5}, day);
    table.add("decode.context", &d.context, "tokens", "in the cache of a request, mean", {1, 1e8},
              day);
    table.add("decode.tokens_per_s_per_user", &d.tokens_per_s_per_user, "token/s",
              "the speed that a user is promised", {1e-3, 1e6}, published("20–22, the same day"));
    table.add("decode.batch", &d.batch, "requests", "per GPU; 0: what that speed allows", {0, 1e6},
              assumed("solved for"));
    table.add("decode.mtp", &d.mtp, "", "tokens drafted per step", {0, 16},
              assumed("the day's statistics do not say"));
    table.add("decode.acceptance", &d.acceptance, "share", "of drafted tokens", {0, 1},
              published("report §5.4.3: 85–90 %"));
    table.add("decode.memory_bandwidth", &d.memory_bandwidth, "share",
              "of the memory's, when reading", {1e-3, 1},
              published("DeepGEMM 78–80 %, FlashMLA 90 %"));
    table.add("decode.attention", &d.attention, "share", "of the BF16 peak, latent attention",
              {1e-3, 1}, published("FlashMLA: 660 TFLOP/s on H800"));
    table.add("decode.kv_bytes_per_element", &d.kv_bytes_per_element, "B", "of the latent cache",
              {0.25, 8}, published("BF16"));
    table.add("decode.weight_bytes", &d.weight_bytes, "B", "per weight", {0.25, 8},
              published("FP8"));
    table.add("decode.all_to_all", &d.all_to_all, "share",
              "of the network's bandwidth, low-latency dispatch and combine", {1e-3, 10},
              published("DeepEP, 128 tokens, EP128: 192 + 369 µs, latency below taken off"));
    table.add("decode.all_to_all_us", &d.all_to_all_us, "µs", "one dispatch or combine of no bytes",
              {0, 1e6}, assumed("DeepEP publishes none below 128 tokens"));
    table.add("decode.bound_share", &d.bound_share, "share", "of the roofline that is reached",
              {1e-3, 1},
              calibrated("profile-data: 2325 tokens/s per GPU at EP128, 128 requests, 4K"));
    table.add("decode.load_imbalance", &d.load_imbalance, "times",
              "busiest expert rank over the mean", {1, 1e3}, published("profile-data: balanced"));
    table.add("decode.load", &d.load, "share", "tokens made over capacity, mean of a day",
              {1e-3, 1}, calibrated("the day's 1850 tokens/s per GPU over the profile's 2325"));
    table.add("decode.reserve_gb", &d.reserve_gb, "GB", "buffers and workspace", {0, 1e4},
              assumed("of 80 GB"));
}

void demand_keys(Inputs& in, KeyTable& table) {
    Demand& d = in.demand;
    Failures& f = in.failures;
    const Origin day = published("open-infra-index, day of 2025-02-28");
    table.add("demand.input_tokens_per_day", &d.input_tokens_per_day, "tokens", "cached ones too",
              {0, 1e18}, day);
    table.add("demand.output_tokens_per_day", &d.output_tokens_per_day, "tokens", "generated",
              {0, 1e18}, day);
    table.add("demand.users", &d.users, "", "who read at the same time", {1, 1e12},
              assumed("a round number"));
    table.add("failures.gpu_hours_between", &f.gpu_hours_between, "h",
              "GPU-hours between unexpected interruptions", {1e-3, 1e15},
              published("Llama 3: 419 in 54 days on 16384 GPUs"));
    table.add("failures.snapshot_s", &f.snapshot_s, "s",
              "that training stands still for a snapshot", {1e-3, 1e7},
              assumed("states to host memory; the write goes on beside training"));
    table.add("failures.restart_s", &f.restart_s, "s", "from a failure to the next step", {0, 1e7},
              assumed("ten minutes"));
    table.add("failures.trials", &f.trials, "", "failures that the simulation waits for",
              {100, 1e6}, assumed("enough for half a per cent"));
}

}  // namespace

std::vector<InputKey> input_keys(Inputs& inputs) {
    KeyTable table;
    machine_keys(inputs, table);
    efficiency_keys(inputs, table);
    layout_keys(inputs, table);
    run_keys(inputs, table);
    prefill_keys(inputs, table);
    decode_keys(inputs, table);
    demand_keys(inputs, table);
    return table.take();
}

}  // namespace hadal::plan
