#include "plan/placement.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::plan {

ParameterSizes parameter_sizes(const model::ModelConfig& c) {
    const int64_t d = c.hidden_size, heads = c.num_attention_heads;
    const int64_t q = heads * c.qk_head_dim(), rank = c.q_lora_rank;
    int64_t attention = rank > 0 ? rank * (d + q + 1) : d * q;
    attention += d * c.latent_dim() + c.kv_lora_rank;
    attention += c.kv_lora_rank * heads * (c.qk_nope_head_dim + c.v_head_dim);
    attention += d * heads * c.v_head_dim;
    const int64_t expert = 3 * d * c.moe_intermediate_size;
    const int64_t bias = c.topk_method == "noaux_tc" ? c.n_routed_experts : 0;
    return {.attention = double(attention),
            .norms = double(2 * d),
            .dense = double(3 * d * c.intermediate_size),
            .expert = double(expert),
            .shared = double(expert * c.n_shared_experts),
            .router = double(c.n_routed_experts * d + bias),
            .mtp_extra = double(2 * d * d + 3 * d),
            .embedding = double(c.vocab_size * d),
            .head = c.tie_word_embeddings ? 0 : double(c.vocab_size * d),
            .final_norm = double(d)};
}

std::vector<Stage> cut_into_stages(const model::ModelConfig& config, int64_t mtp, int64_t stages) {
    const int64_t units = config.num_hidden_layers + mtp;
    const int64_t low = units / stages, more = units % stages;
    const int64_t first_more = (stages - more) / 2;  // the middle `more` stages take one more
    std::vector<Stage> cut(static_cast<size_t>(stages));
    int64_t unit = 0;
    for (int64_t s = 0; s < stages; ++s) {
        Stage& stage = cut[size_t(s)];
        const bool fuller = s >= first_more && s < first_more + more;
        for (int64_t i = 0; i < low + (fuller ? 1 : 0); ++i, ++unit) {
            if (unit >= config.num_hidden_layers) {
                ++stage.mtp;
            } else {
                ++(config.is_moe_layer(unit) ? stage.moe_layers : stage.dense_layers);
            }
        }
    }
    cut.front().embedding = true;
    cut.back().head = true;
    return cut;
}

std::vector<Stage> stages_of_rank(const std::vector<Stage>& stages, const Layout& layout,
                                  int64_t rank) {
    std::vector<Stage> held;
    const auto count = int64_t(stages.size());
    if (layout.bidirectional() || layout.schedule == "zb-v") {
        held.push_back(stages[size_t(rank)]);
        held.push_back(stages[size_t(count - 1 - rank)]);
        return held;
    }
    for (int64_t s = rank; s < count; s += layout.pp) held.push_back(stages[size_t(s)]);
    return held;
}

RankParameters rank_parameters(const ParameterSizes& sizes, const std::vector<Stage>& stages,
                               const model::ModelConfig& config, const Layout& layout) {
    RankParameters held;
    const auto tp = double(layout.tp);
    bool embedding = false, head = false;  // DualPipe's end ranks hold both, and share with MTP
    for (const Stage& stage : stages) {
        const bool moe_module = config.n_routed_experts > 0;
        const auto moe = double(stage.moe_layers + (moe_module ? stage.mtp : 0));
        const auto dense = double(stage.dense_layers + (moe_module ? 0 : stage.mtp));
        held.replicated += (moe + dense) * (sizes.attention / tp + sizes.norms);
        held.replicated += dense * sizes.dense / tp;
        held.replicated += moe * (sizes.shared / tp + sizes.router);
        held.replicated += double(stage.mtp) * sizes.mtp_extra;
        held.experts += moe * sizes.expert * double(config.n_routed_experts) / double(layout.ep);
        embedding = embedding || stage.embedding || stage.mtp > 0;
        head = head || stage.head || stage.mtp > 0;
        if (stage.head) held.replicated += sizes.final_norm;
    }
    if (embedding) held.replicated += sizes.embedding / tp;
    if (head) held.replicated += (sizes.head > 0 || embedding ? sizes.head : sizes.embedding) / tp;
    return held;
}

double replicas(const Layout& layout) {
    return double(layout.dp() * layout.copies());
}

double expert_replicas(const Layout& layout) {
    return double(layout.dp() * layout.tp * layout.copies()) / double(layout.ep);
}

namespace {

[[noreturn]] void reject(const std::string& message) {
    throw Error(Error::Kind::bad_input, concat("layout: ", message));
}

void check_division(const model::ModelConfig& config, const Layout& l) {
    if (l.gpus % (l.pp * l.tp) != 0) {
        reject(concat("gpus ", l.gpus, " is not a multiple of pp ", l.pp, " × tp ", l.tp, " (use ",
                      std::max<int64_t>(1, l.gpus / (l.pp * l.tp)) * l.pp * l.tp,
                      " GPUs, or another pp)"));
    }
    const int64_t group = l.dp() * l.tp;
    if (group % l.ep != 0) {
        reject(concat("ep ", l.ep, " does not divide the ", group,
                      " GPUs of a stage (gpus / pp; use an ep that does)"));
    }
    if (config.n_routed_experts == 0 && l.ep > 1)
        reject(concat("ep ", l.ep, ", but the model has no experts (use ep 1)"));
    if (config.n_routed_experts > 0 && config.n_routed_experts % l.ep != 0) {
        reject(concat("ep ", l.ep, " does not divide the model's ", config.n_routed_experts,
                      " experts (use an ep that does)"));
    }
    if (config.num_attention_heads % l.tp != 0) {
        reject(concat("tp ", l.tp, " does not divide the model's ", config.num_attention_heads,
                      " attention heads"));
    }
    if (l.batch % (l.dp() * l.micro_batch) != 0) {
        const int64_t unit = l.dp() * l.micro_batch;
        reject(concat("batch ", l.batch, " is not a multiple of dp ", l.dp(), " × micro_batch ",
                      l.micro_batch, " (use ", std::max<int64_t>(1, l.batch / unit) * unit, ")"));
    }
}

void check_schedule(const model::ModelConfig& config, const Layout& l, int64_t mtp) {
    const int64_t units = config.num_hidden_layers + mtp;
    if (l.stages() > units) {
        reject(concat(l.stages(), " stages for ", units,
                      " layers: a stage would be empty (lower pp to ",
                      std::max<int64_t>(1, units * l.pp / l.stages()), " or less)"));
    }
    const int64_t n = l.micro_batches();
    if (l.schedule == "dualpipe" && l.pp % 2 != 0) {
        reject(concat("DualPipe needs an even pp, got ", l.pp,
                      " (each rank is paired with its mirror; use ", l.pp + 1,
                      " or schedule dualpipev)"));
    }
    if (l.bidirectional() && (n < 2 * l.pp || (l.schedule == "dualpipe" && n % 2 != 0))) {
        reject(concat("DualPipe needs ", l.schedule == "dualpipe" ? "an even number of " : "",
                      "micro-batches, at least 2 × pp = ", 2 * l.pp, ", got batch / dp = ", n,
                      " (raise batch to ", 2 * l.pp * l.dp() * l.micro_batch,
                      " or more, or lower gpus)"));
    }
    if (l.schedule == "interleaved" && n % l.pp != 0) {
        reject(concat("interleaved 1F1B needs micro-batches in multiples of pp ", l.pp, ", got ", n,
                      " (change batch)"));
    }
}

}  // namespace

void check_layout(const model::ModelConfig& config, const Inputs& inputs) {
    check_division(config, inputs.layout);
    const int64_t mtp = inputs.layout.mtp < 0 ? config.num_nextn_predict_layers : inputs.layout.mtp;
    check_schedule(config, inputs.layout, mtp);
}

bool is_possible(const model::ModelConfig& config, const Inputs& inputs) {
    try {
        check_layout(config, inputs);
        return true;
    } catch (const Error&) {  // says why; here only whether
        return false;
    }
}

}  // namespace hadal::plan
