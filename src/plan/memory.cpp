#include "plan/memory.h"

#include <algorithm>

#include "core/error.h"
#include "plan/all_to_all.h"
#include "plan/layer_times.h"

namespace hadal::plan {

namespace {

/// Elements of a layer's rows, per token.
struct Widths {
    double d, latents, query, key_value, attention_out, experts, routed_rows, shared_rows, expert,
        dense;
};

Widths widths_of(const model::ModelConfig& c) {
    const auto heads = double(c.num_attention_heads);
    return {.d = double(c.hidden_size),
            .latents = double(c.q_lora_rank + c.latent_dim()),
            .query = heads * double(c.qk_head_dim()),
            .key_value = heads * double(c.qk_head_dim() + c.v_head_dim),
            .attention_out = heads * double(c.v_head_dim),
            .experts = double(c.n_routed_experts),
            .routed_rows = double(c.num_experts_per_tok),
            .shared_rows = double(c.n_shared_experts),
            .expert = double(c.moe_intermediate_size),
            .dense = double(c.intermediate_size)};
}

class KeptList {
  public:
    void add(const char* name, const char* format, double bytes, bool follows_load = false) {
        if (bytes > 0) kept_.push_back({name, format, bytes, follows_load});
    }
    std::vector<KeptTensor> take() {
        return std::move(kept_);
    }

  private:
    std::vector<KeptTensor> kept_;
};

void add_attention(const Widths& w, const model::ModelConfig& config, const Layout& layout,
                   KeptList& kept) {
    const bool everything = layout.recompute == "none";
    kept.add("residual in", "bf16", 2 * w.d);
    if (layout.recompute == "full") return;
    if (everything) kept.add("norm out", "bf16", 2 * w.d);
    kept.add("latents", "bf16", 2 * w.latents);
    if (everything) {
        kept.add("queries", "bf16", 2 * w.query);
        kept.add("keys and values", "bf16", 2 * w.key_value);
    }
    const bool narrow = layout.precision != "bf16" && !everything;
    kept.add("attention out", narrow ? "e5m6" : "bf16", (narrow ? 1.5 : 2) * w.attention_out);
    kept.add("log-sum-exp", "f32", 4 * double(config.num_attention_heads));
    kept.add("residual mid", "bf16", 2 * w.d);
}

void add_feed_forward(const Widths& w, const Layout& layout, bool moe, KeptList& kept) {
    if (layout.recompute == "full") return;
    const bool everything = layout.recompute == "none";
    const bool narrow = layout.precision != "bf16" && !everything;
    // Kept in eight bits whatever narrower format the products use: the report's caches.
    const char* format = narrow ? "e4m3" : "bf16";
    const double element = bytes_per_element(narrow ? "fp8" : "bf16");
    if (!moe) {
        kept.add("feed-forward in", format, element * w.d);
        kept.add("SwiGLU in", format, 2 * element * w.dense);
        if (everything) kept.add("SwiGLU out", format, element * w.dense);
        return;
    }
    kept.add("router scores", "f32", 4 * w.experts);
    if (layout.recompute != "redispatch")
        kept.add("dispatched inputs", format, w.routed_rows * element * w.d, true);
    kept.add("shared expert in", format, w.shared_rows > 0 ? element * w.d : 0);
    kept.add("SwiGLU in, routed", format, w.routed_rows * 2 * element * w.expert, true);
    kept.add("SwiGLU in, shared", format, w.shared_rows * 2 * element * w.expert);
    if (!everything) return;
    kept.add("SwiGLU out, routed", format, w.routed_rows * element * w.expert, true);
    kept.add("SwiGLU out, shared", format, w.shared_rows * element * w.expert);
}

}  // namespace

std::vector<KeptTensor> kept_tensors(const model::ModelConfig& config, const Layout& layout,
                                     bool moe) {
    const Widths widths = widths_of(config);
    KeptList kept;
    add_attention(widths, config, layout, kept);
    add_feed_forward(widths, layout, moe, kept);
    return kept.take();
}

double kept_bytes_per_token(const model::ModelConfig& config, const Layout& layout, bool moe) {
    double sum = 0;
    for (const KeptTensor& tensor : kept_tensors(config, layout, moe))
        sum += tensor.bytes_per_token * (tensor.follows_load ? layout.load_imbalance : 1);
    return sum;
}

double live_chunks(const Layout& layout, int64_t rank) {
    const auto n = double(layout.micro_batches()), pp = double(layout.pp);
    if (layout.schedule == "dualpipe") return std::min(n, pp + 1);
    if (layout.schedule == "dualpipev") return std::min(2 * n, 2 * pp + 1);
    if (layout.schedule == "zb-v") return std::min(2 * n, 2 * pp);
    const double waiting = pp - double(rank);
    if (layout.schedule == "zb-h1") return std::min(n, pp);
    if (layout.schedule == "1f1b") return std::min(n, waiting);
    const auto v = double(layout.virtual_stages);
    return std::min(n * v, 2 * (waiting - 1) + (v - 1) * pp + 1);
}

namespace {

/// Of a mean chunk of the rank's stages.
double chunk_activation_bytes(const model::ModelConfig& config, const Layout& layout,
                              const std::vector<Stage>& stages) {
    const bool moe_module = config.n_routed_experts > 0;
    double dense_layers = 0, moe_layers = 0;
    for (const Stage& stage : stages) {
        dense_layers += double(stage.dense_layers + (moe_module ? 0 : stage.mtp));
        moe_layers += double(stage.moe_layers + (moe_module ? stage.mtp : 0));
    }
    double bytes = dense_layers * kept_bytes_per_token(config, layout, false);
    if (moe_module) bytes += moe_layers * kept_bytes_per_token(config, layout, true);
    return bytes * micro_batch_tokens(layout) / double(stages.size());
}

RankMemory rank_memory(const model::ModelConfig& config, const Inputs& inputs,
                       const std::vector<Stage>& stages, int64_t rank) {
    const Layout& l = inputs.layout;
    RankMemory memory{.rank = rank};
    memory.parameters = rank_parameters(parameter_sizes(config), stages, config, l);
    const double split =
        memory.parameters.replicated / replicas(l) + memory.parameters.experts / expert_replicas(l);
    const double whole = memory.parameters.total();
    memory.weights = (l.weight_bytes + l.cached_weight_bytes) * (l.zero >= 3 ? split : whole);
    memory.gradients = l.gradient_bytes * (l.zero >= 2 ? split : whole);
    memory.master = l.master_bytes * (l.zero >= 1 ? split : whole);
    memory.moments = l.moment_bytes * (l.zero >= 1 ? split : whole);
    memory.activations = live_chunks(l, rank) * chunk_activation_bytes(config, l, stages);
    const double tokens = micro_batch_tokens(l);
    for (const Stage& stage : stages) {
        if (!stage.head) continue;  // bf16 logits with their f32 gradient
        memory.logits = tokens * 6 * double(config.vocab_size);
    }
    if (config.n_routed_experts > 0 && l.ep > 1) {
        memory.buffers = tokens * double(config.num_experts_per_tok) * l.load_imbalance *
                         double(config.hidden_size) *
                         (bytes_per_element(l.precision) + bytes_per_element(l.combine_precision));
    }
    memory.reserve = l.reserve_gb * 1e9;
    return memory;
}

}  // namespace

std::vector<RankMemory> rank_memories(const model::ModelConfig& config, const Inputs& inputs) {
    const Layout& layout = inputs.layout;
    const int64_t mtp = layout.mtp < 0 ? config.num_nextn_predict_layers : layout.mtp;
    const std::vector<Stage> stages = cut_into_stages(config, mtp, layout.stages());
    std::vector<RankMemory> ranks;
    for (int64_t rank = 0; rank < layout.pp; ++rank) {
        ranks.push_back(rank_memory(config, inputs, stages_of_rank(stages, layout, rank), rank));
    }
    return ranks;
}

RankMemory fullest_rank(const model::ModelConfig& config, const Inputs& inputs) {
    const std::vector<RankMemory> ranks = rank_memories(config, inputs);
    return *std::ranges::max_element(ranks, {}, &RankMemory::total);
}

std::vector<Remedy> remedies(const model::ModelConfig& config, const Inputs& inputs) {
    std::vector<Remedy> found;
    const auto offer = [&](const std::string& change, const char* price, auto&& apply) {
        Inputs changed = inputs;
        apply(changed.layout);
        if (!is_possible(config, changed)) return;
        found.push_back({change, fullest_rank(config, changed).total(), price});
    };
    const Layout& l = inputs.layout;
    const auto set = [](auto Layout::* member, auto value) {
        return [member, value](Layout& layout) { layout.*member = value; };
    };
    if (l.recompute == "none" || l.recompute == "report") {
        offer("recompute redispatch", "dispatches again in backward: more network",
              set(&Layout::recompute, "redispatch"));
    }
    if (l.recompute == "none") {
        offer("recompute report", "norms, up-projections and SwiGLU computed again",
              set(&Layout::recompute, "report"));
    }
    if (l.recompute != "full") {
        offer("recompute full", "a second forward pass: a third more arithmetic",
              set(&Layout::recompute, "full"));
    }
    if (l.precision == "bf16" && inputs.gpu.fp8_tflops > 0) {
        offer("precision fp8", "scales and casts to keep an eye on",
              set(&Layout::precision, "fp8"));
    }
    for (const int64_t zero : {1, 2, 3}) {
        if (zero <= l.zero) continue;
        constexpr const char* kPrices[] = {"", "gathers weights once a step",
                                           "reduces gradients in every micro-batch",
                                           "gathers weights in every micro-batch"};
        offer(concat("zero ", zero), kPrices[zero], set(&Layout::zero, zero));
    }
    offer(concat("ep ", 2 * l.ep), "tokens cross to more nodes", set(&Layout::ep, 2 * l.ep));
    offer(concat("pp ", 2 * l.pp), "a longer bubble", set(&Layout::pp, 2 * l.pp));
    offer(concat("tp ", 2 * l.tp), "collectives in every layer", set(&Layout::tp, 2 * l.tp));
    if (l.micro_batch > 1) {
        offer(concat("micro_batch ", l.micro_batch / 2), "smaller matrix products",
              set(&Layout::micro_batch, l.micro_batch / 2));
    }
    if (l.schedule == "dualpipe") {
        offer("schedule dualpipev", "one copy of the weights", set(&Layout::schedule, "dualpipev"));
    }
    std::ranges::stable_sort(found, {}, &Remedy::bytes);
    return found;
}

}  // namespace hadal::plan
