#include <algorithm>
#include <cmath>

#include "core/error.h"
#include "plan/answers.h"
#include "plan/published.h"
#include "plan/serving.h"

namespace hadal::plan {

namespace {

constexpr double kNode = 8;  // GPUs: what published rates are given for

double dollars_per_million(const Inputs& inputs, double tokens_per_s_per_gpu) {
    return inputs.cost.gpu_hour_dollars / 3600 / tokens_per_s_per_gpu * 1e6;
}

Section prefill_section(const Inputs& inputs, const PrefillPlan& plan) {
    const Prefill& p = inputs.prefill;
    const bool compute = plan.compute >= plan.network;
    Table parts{.key = "prefill_layer",
                .title = "one layer, one of two micro-batches",
                .columns = {{"part", "part", ""}, {"seconds", "time", "s"}},
                .rows = {{"attention", plan.layer.attention_f},
                         {"experts", plan.layer.experts_f},
                         {"tensor parallelism", plan.layer.tensor_f},
                         {"dispatch", plan.layer.dispatch_f},
                         {"combine", plan.layer.combine_f},
                         {"counts and barriers", 2 * plan.layer.sync}}};
    return {
        .title = concat("PREFILL · EP", p.gpus, " · TP", p.tp, " · DP", p.gpus / p.tp, " · ",
                        p.redundant, " REDUNDANT EXPERTS · ", p.prompt, "-TOKEN PROMPTS"),
        .figures = {{"prefill_weight_bytes", "weights of a GPU", plan.weight_bytes, "B"},
                    {"prefill_compute_seconds", "a batch: computation", plan.compute, "s"},
                    {"prefill_network_seconds", "a batch: communication", plan.network, "s"},
                    {"prefill_batch_seconds", "a batch, overlapped", plan.batch_seconds, "s",
                     Mark::prediction, compute ? "bound by computation" : "bound by the network"},
                    {"prefill_tokens_per_s_per_gpu", "prefill, a GPU", plan.tokens_per_s_per_gpu,
                     "token/s"},
                    {"prefill_node_computed_tokens_per_s",
                     concat("eight GPUs at ", 100 * p.load, " % load"),
                     kNode * plan.loaded_computed, "token/s"},
                    {"prefill_node_tokens_per_s",
                     concat("the same with ", 100 * p.cache_hits, " % cache hits"),
                     kNode * plan.loaded_with_hits, "token/s"},
                    {"ttft_seconds", "time to first token at that load", plan.ttft, "s",
                     Mark::prediction, "its batch and the mean wait (M/D/1)"},
                    {"dollars_per_million_computed", "per million computed tokens, full load",
                     dollars_per_million(inputs, plan.tokens_per_s_per_gpu), "$"},
                    {"dollars_per_million_input", "per million input tokens, that load, with hits",
                     dollars_per_million(inputs, plan.loaded_with_hits), "$"}},
        .tables = {parts}};
}

Table kernel_table(const DecodeStep& step) {
    Table table{.key = "decode_kernels",
                .title = "kernels of a step",
                .columns = {{"kernel", "kernel", ""},
                            {"bytes", "reads", "B"},
                            {"flops", "computes", "FLOP"},
                            {"memory_seconds", "memory", "s"},
                            {"compute_seconds", "arithmetic", "s"},
                            {"bound", "bound by", ""}},
                .rows = {}};
    for (const KernelTime& kernel : step.kernels) {
        table.rows.push_back(
            {kernel.name, kernel.bytes, kernel.flops, kernel.memory_seconds, kernel.compute_seconds,
             kernel.memory_seconds >= kernel.compute_seconds ? "memory" : "arithmetic"});
    }
    return table;
}

const char* bound_of(const DecodeStep& step) {
    return step.network > step.compute ? "network" : "computation";
}

std::vector<Cell> step_row(const Inputs& inputs, const DecodeStep& step) {
    return {std::to_string(int64_t(step.batch)),
            step.step,
            step.tokens_per_s_per_user,
            step.tokens_per_s_per_gpu,
            dollars_per_million(inputs, step.tokens_per_s_per_gpu),
            bound_of(step)};
}

const std::vector<Table::Column> kStepColumns = {
    {"batch", "requests a GPU", "count"}, {"step", "step", "s"},
    {"user", "a user", "token/s"},        {"gpu", "a GPU", "token/s"},
    {"dollars", "$ a million", "$"},      {"bound", "bound by", ""}};

Table batch_table(const model::ModelConfig& config, const Inputs& inputs, const DecodePlan& plan) {
    Table table{.key = "decode_batches", .title = "by batch", .columns = kStepColumns, .rows = {}};
    for (double batch = 1; batch <= plan.max_requests; batch *= 2) {
        table.rows.push_back(
            step_row(inputs, decode_step(config, inputs, batch, double(inputs.decode.context))));
    }
    const double most = std::floor(plan.max_requests);
    if (std::log2(most) != std::floor(std::log2(most))) {
        table.rows.push_back(
            step_row(inputs, decode_step(config, inputs, most, double(inputs.decode.context))));
    }
    return table;
}

/// Other sizes of the unit, with the copies that make its slots even.
Table unit_table(const model::ModelConfig& config, const Inputs& inputs) {
    Table table{.key = "decode_units",
                .title = "by size of the unit",
                .columns = {{"gpus", "GPUs", "count"},
                            {"redundant", "copies", "count"},
                            {"weights", "weights a GPU", "B"},
                            {"requests", "requests fit", ""},
                            {"batch", "batch", ""},
                            {"user", "a user", "token/s"},
                            {"gpu", "a GPU", "token/s"}},
                .rows = {}};
    for (const int64_t gpus : {32, 64, 144, 320}) {
        Inputs unit = inputs;
        unit.decode.gpus = gpus;
        const int64_t experts = config.n_routed_experts;
        unit.decode.redundant = (gpus - experts % gpus) % gpus;
        unit.decode.batch = 0;
        const double weights = unit_weight_bytes(config, unit, gpus, 1, unit.decode.redundant);
        if (weights + inputs.decode.reserve_gb * 1e9 >= inputs.gpu.memory_gb * 1e9) continue;
        const DecodePlan plan = plan_decode(config, unit);
        table.rows.push_back({std::to_string(gpus), std::to_string(unit.decode.redundant),
                              plan.weight_bytes, plan.max_requests, plan.step.batch,
                              plan.step.tokens_per_s_per_user, plan.step.tokens_per_s_per_gpu});
    }
    return table;
}

/// The profile that decode.bound_share is fitted to: EP128, 128 requests of 4K.
double profile_rate(const model::ModelConfig& config, const Inputs& inputs) {
    Inputs profile = inputs;
    profile.decode.gpus = 128;
    profile.decode.redundant = 0;
    return decode_step(config, profile, 128, 4096).tokens_per_s_per_gpu;
}

Section decode_section(const model::ModelConfig& config, const Inputs& inputs,
                       const DecodePlan& plan) {
    const Decode& d = inputs.decode;
    const DecodeStep& step = plan.step;
    Section section{.title = concat("DECODE · EP", d.gpus, " · ", d.redundant,
                                    " REDUNDANT EXPERTS · CONTEXT ", d.context,
                                    d.mtp > 0 ? concat(" · MTP ", d.mtp) : "")};
    section.figures = {
        {"decode_weight_bytes", "weights of a GPU", plan.weight_bytes, "B"},
        {"kv_bytes_per_token", "cache of a token", plan.kv_bytes_per_token, "B"},
        {"decode_max_requests", "requests that fit on a GPU", plan.max_requests, ""},
        {"decode_batch", d.batch > 0 ? "requests of a GPU" : "requests that the speed allows",
         step.batch, "", d.batch > 0 ? Mark::input : Mark::prediction},
        {"decode_compute_seconds", "a step: computation", step.compute, "s"},
        {"decode_network_seconds", "a step: communication", step.network, "s"},
        {"decode_step_seconds", "a step, as reached", step.step, "s", Mark::prediction,
         concat("bound by ", bound_of(step), " and bound_share")},
        {"tpot_seconds", "time per output token", 1 / step.tokens_per_s_per_user, "s"},
        {"decode_tokens_per_s_per_user", "a user", step.tokens_per_s_per_user, "token/s"},
        {"decode_tokens_per_s_per_gpu", "decode, a GPU", step.tokens_per_s_per_gpu, "token/s"},
        {"decode_node_tokens_per_s", concat("eight GPUs at ", 100 * d.load, " % load"),
         kNode * d.load * step.tokens_per_s_per_gpu, "token/s"},
        {"dollars_per_million_output", "per million output tokens, that load",
         dollars_per_million(inputs, d.load * step.tokens_per_s_per_gpu), "$"}};
    if (is_published_run(inputs)) {
        section.figures.push_back({"profile_decode_tokens_per_s_per_gpu",
                                   "the profile: EP128, 128 requests of 4K",
                                   profile_rate(config, inputs), "token/s"});
    }
    if (d.batch == 0 && step.tokens_per_s_per_user < 0.999 * d.tokens_per_s_per_user) {
        section.notes = {concat("Even one request a GPU is slower than the ",
                                quantity(d.tokens_per_s_per_user, "token/s"),
                                " promised: draft tokens (decode.mtp), or take faster links.")};
    }
    section.tables = {kernel_table(step), batch_table(config, inputs, plan)};
    if (config.n_routed_experts > 0) section.tables.push_back(unit_table(config, inputs));
    return section;
}

Section single_user_section(const DecodePlan& plan) {
    return {.title = "ONE USER ALONE",
            .figures = {{"alone_tokens_per_s", "one request a GPU",
                         plan.alone.tokens_per_s_per_user, "token/s"},
                        {"alone_drafting_tokens_per_s", "with drafted tokens",
                         plan.alone_drafting.tokens_per_s_per_user, "token/s"},
                        {"link_bound_tokens_per_s", "limit of the links, 32 requests a GPU",
                         plan.link_bound, "token/s"}},
            .notes = {"Every layer sends each token to its experts and back over links of "
                      "fixed rate; more GPUs do not shorten that, faster links and drafting do."}};
}

Section demand_section(const Inputs& inputs, const PrefillPlan& prefill, const DecodePlan& decode) {
    const Demand& d = inputs.demand;
    const double output_rate = inputs.decode.load * decode.step.tokens_per_s_per_gpu;
    const double prefill_nodes =
        d.input_tokens_per_day / 86400 / (kNode * prefill.loaded_with_hits);
    const double decode_nodes = d.output_tokens_per_day / 86400 / (kNode * output_rate);
    const double nodes = prefill_nodes + decode_nodes;
    const double dollars = nodes * kNode * 24 * inputs.cost.gpu_hour_dollars;
    const double watts = inputs.cost.node_watts_per_gpu * inputs.cost.load * inputs.cost.pue;
    return {.title = "THE DAY'S DEMAND, AND MORE USERS",
            .figures = {
                {"prefill_nodes", "nodes of eight for the input", prefill_nodes, ""},
                {"decode_nodes", "nodes of eight for the output", decode_nodes, ""},
                {"nodes_of_the_day", "together", nodes, ""},
                {"day_dollars", "a day's rent", dollars, "$"},
                {"joules_per_output_token", "energy of an output token", watts / output_rate, "J"},
                {"users_decode_nodes",
                 concat("nodes of eight for ", quantity(d.users, ""), " users reading"),
                 std::ceil(d.users / (kNode * decode.step.batch)), ""}}};
}

Answer answer_single(const model::ModelConfig& config, const Inputs& inputs) {
    const SinglePlan plan = plan_single(config, inputs);
    Answer answer{
        .title = title_of("Serving from one machine", inputs), .sections = {}, .headline = {}};
    Section section{
        .title = concat(inputs.gpu.name, " · ", inputs.prefill.prompt, "-TOKEN PROMPTS"),
        .figures = {{"weight_bytes", "weights", plan.weight_bytes, "B", Mark::prediction,
                     plan.fits ? "" : "they and one cache do not fit into its memory"},
                    {"prefill_tokens_per_s", "prefill", plan.prefill_tokens_per_s, "token/s"},
                    {"ttft_seconds", "time to first token", plan.ttft, "s"},
                    {"decode_tokens_per_s", "decode, one user",
                     plan.steps.front().tokens_per_s_per_user, "token/s"},
                    {"tpot_seconds", "time per output token",
                     1 / plan.steps.front().tokens_per_s_per_user, "s"},
                    {"decode_best_tokens_per_s", "decode, largest batch below",
                     plan.steps.back().tokens_per_s_per_gpu, "token/s"}}};
    Table batches{
        .key = "decode_batches", .title = "by batch", .columns = kStepColumns, .rows = {}};
    for (const DecodeStep& step : plan.steps) batches.rows.push_back(step_row(inputs, step));
    section.tables = {kernel_table(plan.steps.front()), batches};
    answer.sections = {section};
    answer.headline = {"prefill_tokens_per_s", "decode_tokens_per_s", "decode_best_tokens_per_s"};
    return answer;
}

}  // namespace

Answer answer_serve(const model::ModelConfig& config, const Inputs& inputs) {
    if (inputs.layout.gpus == 1) return answer_single(config, inputs);
    check_serving(config, inputs);
    const PrefillPlan prefill = plan_prefill(config, inputs);
    const DecodePlan decode = plan_decode(config, inputs);
    Answer answer{.title = title_of("Serving", inputs), .sections = {}, .headline = {}};
    answer.sections.push_back(prefill_section(inputs, prefill));
    answer.sections.push_back(decode_section(config, inputs, decode));
    answer.sections.push_back(single_user_section(decode));
    answer.sections.push_back(demand_section(inputs, prefill, decode));
    answer.headline = {"prefill_tokens_per_s_per_gpu", "decode_tokens_per_s_per_gpu",
                       "decode_batch", "dollars_per_million_output", "nodes_of_the_day"};
    if (is_published_run(inputs)) compare_with_published(answer);
    return answer;
}

}  // namespace hadal::plan
