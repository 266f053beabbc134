#include "core/error.h"
#include "model/parameters.h"
#include "plan/answers.h"
#include "plan/placement.h"
#include "plan/published.h"
#include "plan/train_cost.h"

namespace hadal::plan {

std::string title_of(const std::string& what, const Inputs& inputs) {
    std::string scenarios;
    for (const std::string& scenario : inputs.scenarios) scenarios += " + " + scenario;
    return concat(what, " · ", inputs.model, " on ", inputs.cluster, scenarios);
}

namespace {

std::string layout_text(const Inputs& inputs) {
    const Layout& l = inputs.layout;
    return concat(l.gpus, " × ", inputs.gpu.name, " · PP", l.pp, " × EP", l.ep,
                  l.tp > 1 ? concat(" × TP", l.tp) : "", " × ZeRO-", l.zero, " · DP ", l.dp(),
                  " · ", l.schedule, " · ", l.precision);
}

Section flops_section(const ModelWork& work, const Inputs& inputs, const TrainCost& cost) {
    const auto sequence = double(inputs.layout.sequence);
    const PartFlops parts = forward_flops(work, sequence);
    Table table{.key = "flops",
                .title = "",
                .columns = {{"part", "part", ""},
                            {"forward", "forward", "FLOP"},
                            {"training", "training", "FLOP"},
                            {"share", "share", "share"}},
                .rows = {}};
    const auto row = [&](const char* part, double forward) {
        if (forward > 0)
            table.rows.push_back({part, forward, 3 * forward, forward / parts.total()});
    };
    row("attention projections", parts.projections);
    row("attention core, causal", parts.core);
    row("routed experts", parts.routed);
    row("shared experts", parts.shared);
    row("router", parts.router);
    row("dense feed-forward", parts.dense);
    row("head", parts.head);
    row("multi-token prediction", parts.mtp);
    return {
        .title = "ARITHMETIC OF ONE TOKEN",
        .figures = {{"training_flops_per_token", "causal, without MTP", cost.causal_flops, "FLOP"},
                    {"training_flops_per_token_full", "both halves of attention", cost.full_flops,
                     "FLOP"},
                    {"training_flops_per_token_mtp", "causal, with MTP",
                     cost.causal_flops + cost.mtp_flops, "FLOP"}},
        .tables = {table}};
}

Section layer_section(const Inputs& inputs, const LayerTimes& t) {
    const Mark mark = is_published_run(inputs) ? Mark::calibration : Mark::prediction;
    Table table{.key = "layer",
                .title = "",
                .columns = {{"part", "part", ""},
                            {"forward", "forward F", "s"},
                            {"input_gradient", "input gradient B", "s"},
                            {"weight_gradient", "weight gradient W", "s"},
                            {"mark", "", ""}},
                .rows = {}};
    const std::string marked(name(mark));
    table.rows.push_back({"attention", t.attention_f, t.attention_b, t.attention_w, marked});
    table.rows.push_back({"dispatch", t.dispatch_f, t.dispatch_b, 0.0, marked});
    table.rows.push_back({"experts", t.experts_f, t.experts_b, t.experts_w, marked});
    table.rows.push_back({"combine", t.combine_f, t.combine_b, 0.0, marked});
    table.rows.push_back({"counts and barriers", 2 * t.sync, 2 * t.sync, 0.0, marked});
    if (t.tensor_f > 0)
        table.rows.push_back({"tensor parallelism", t.tensor_f, t.tensor_f, 0.0, marked});
    table.rows.push_back({"computation", t.compute_f(), t.compute_b(), t.compute_w(), marked});
    table.rows.push_back({"communication", t.network_f(), t.network_b(), 0.0, marked});
    return {.title = "ONE MOE LAYER, ONE MICRO-BATCH, ON A QUIET CLUSTER",
            .tables = {table},
            .notes = {"Backward of dispatch is a combine and the other way round."}};
}

Section network_section(const model::ModelConfig& config, const Inputs& inputs,
                        const LayerTimes& layer) {
    const AllToAll a = all_to_all(config, inputs, inputs.layout.ep);
    const double tokens = micro_batch_tokens(inputs.layout);
    const double out = inputs.network.scale_out_gb_per_s * 1e9;
    const double up = inputs.network.scale_up_gb_per_s * 1e9;
    Table table{.key = "network",
                .title = "",
                .columns = {{"operation", "operation", ""},
                            {"scale_out_bytes_per_token", "IB a token", "B"},
                            {"scale_up_bytes_per_token", "NVLink a token", "B"},
                            {"scale_out_floor", "IB at full rate", "s"},
                            {"scale_up_floor", "NVLink at full rate", "s"},
                            {"seconds", "planned", "s"}},
                .rows = {}};
    const auto row = [&](const char* name, double out_bytes, double up_bytes, double seconds) {
        table.rows.push_back(
            {name, out_bytes, up_bytes, tokens * out_bytes / out, tokens * up_bytes / up, seconds});
    };
    row("dispatch", a.scale_out_dispatch, a.scale_up_dispatch, layer.dispatch_f);
    row("combine", a.scale_out_combine, a.scale_up_combine, layer.combine_f);
    const double floor = 2 * tokens * (a.scale_out_dispatch + a.scale_out_combine) / out;
    return {.title = "EXCHANGE BETWEEN EXPERTS, ONE LAYER, ONE DIRECTION",
            .figures = {{"nodes_visited", "nodes a token visits (M)", a.nodes, ""},
                        {"network_floor_seconds", "floor of a layer, forward and backward", floor,
                         "s", Mark::prediction, "the scale-out network at its full rate"},
                        {"pipeline_send_seconds", "a chunk's result to the next stage", layer.send,
                         "s"}},
            .tables = {table}};
}

/// Four layers without what production adds: the published trace.
double trace_pair_seconds(const LayerTimes& layer, const Inputs& inputs) {
    Inputs quiet = inputs;
    quiet.production = {};
    LayerTimes alone = layer;
    alone.send = 0;  // the trace leaves pipeline traffic out
    return chunk_times(alone, quiet, 4).pair;
}

Section chunk_section(const Inputs& inputs, const TrainCost& cost) {
    Section section{.title = "ONE CHUNK OF A STAGE, IN PRODUCTION",
                    .figures = {{"stage_layers", "layers of a stage, MTP and head as layers",
                                 cost.stage_layers, ""},
                                {"chunk_forward_seconds", "forward alone", cost.chunk.f, "s"},
                                {"chunk_input_seconds", "input gradient alone", cost.chunk.b, "s"},
                                {"chunk_weight_seconds", "weight gradient", cost.chunk.w, "s"}}};
    if (inputs.layout.bidirectional()) {
        section.figures.push_back(
            {"chunk_pair_seconds", "forward with backward, overlapped", cost.chunk.pair, "s"});
        section.figures.push_back({"trace_pair_seconds", "the same, four layers, quiet cluster",
                                   trace_pair_seconds(cost.layer, inputs), "s"});
    }
    return section;
}

Section step_section(const TrainCost& cost) {
    const StepTimes& s = cost.step;
    const auto count = [](const char* what, double chunks) {
        return chunks > 0 ? concat(what, ", ", int64_t(chunks), " chunks") : std::string(what);
    };
    Section section{.title = concat("ONE STEP, ", s.micro_batches, " MICRO-BATCHES")};
    auto& figures = section.figures;
    figures.push_back({"forward_seconds", count("1F", s.singles), s.forward, "s"});
    figures.push_back({"bubble_seconds", "bubble", s.bubble(), "s"});
    figures.push_back({"backward_seconds", count("1B", s.singles), s.backward, "s"});
    figures.push_back({"weight_seconds", count("1W", s.deferred), s.weight, "s"});
    figures.push_back({"paired_seconds", count("1F1B", s.pairs), s.paired, "s"});
    figures.push_back({"optimizer_seconds", "optimizer", s.optimizer, "s"});
    figures.push_back({"step_seconds", "step", s.total(), "s"});
    figures.push_back({"schedule_bubble_seconds", "the schedule's own bubble", s.schedule_bubble,
                       "s", Mark::prediction, "simulated, rank 0"});
    figures.push_back({"imbalance_seconds", "waiting for the fullest stage", s.imbalance, "s"});
    figures.push_back(
        {"tokens_per_step", "tokens of a step", cost.tokens_per_step, "tokens", Mark::input});
    return section;
}

/// With nothing but the trace of one layer: what it leaves unexplained is in Production.
double trace_only_gpu_hours(const model::ModelConfig& config, const Inputs& inputs) {
    Inputs quiet = inputs;
    const double exposed = inputs.production.warmup_exposed;
    quiet.production = {.warmup_exposed = exposed};
    return train_cost(config, quiet).gpu_hours_per_trillion;
}

Section speed_section(const Inputs& inputs, const TrainCost& cost) {
    return {
        .title = "SPEED",
        .figures = {{"tokens_per_s_per_gpu", "speed per GPU", cost.tokens_per_s_per_gpu, "token/s"},
                    {"tokens_per_day", "cluster, a day", cost.tokens_per_s * 86400, "tokens"},
                    {"achieved_causal_flops", "per GPU, causal", cost.achieved_causal, "FLOP/s"},
                    {"achieved_full_flops", "per GPU, both halves of attention", cost.achieved_full,
                     "FLOP/s"},
                    {"mfu_causal", "MFU, causal", cost.mfu_causal, "share"},
                    {"mfu_full", "MFU, both halves of attention", cost.mfu_full, "share"},
                    {"mfu_format", concat("share of the ", inputs.layout.precision, " peak"),
                     cost.mfu_format, "share"},
                    {"gpu_hours_per_trillion", "GPU-hours per trillion tokens",
                     cost.gpu_hours_per_trillion, "h"},
                    {"days_per_trillion", "days per trillion tokens", cost.days_per_trillion,
                     "days"}},
        .notes = {"MFU leaves MTP and recomputation out and divides by the BF16 peak."}};
}

Section run_section(const Inputs& inputs, const TrainCost& cost) {
    const Cost& c = inputs.cost;
    const double watts = c.node_watts_per_gpu * c.load * c.pue;
    return {
        .title = "THE RUN",
        .figures =
            {{"pretraining_gpu_hours", "pre-training", cost.pretraining_gpu_hours, "h"},
             {"context_gpu_hours", "context extension", cost.context_gpu_hours, "h"},
             {"post_training_gpu_hours", "post-training", cost.post_training_gpu_hours, "h",
              Mark::input},
             {"gpu_hours", "together", cost.gpu_hours, "h"},
             {"dollars", concat("cost at $", c.gpu_hour_dollars, " an hour"), cost.dollars, "$"},
             {"days", "pre-training lasts", cost.days, "days"},
             {"gpu_kwh", "energy, GPUs at design power", cost.gpu_kwh, "kWh"},
             {"facility_kwh", concat("energy, nodes at ", c.load * 100, " % load, PUE ", c.pue),
              cost.facility_kwh, "kWh"},
             {"joules_per_token", "energy of a token", watts / cost.tokens_per_s_per_gpu, "J"},
             {"carbon_kg", concat("carbon at ", c.carbon_kg_per_kwh, " kg/kWh"), cost.carbon_kg,
              "kg"}},
        .notes = {"Without earlier research, failed runs and failures: `plan failures`."}};
}

}  // namespace

Answer answer_train(const model::ModelConfig& config, const Inputs& inputs) {
    const TrainCost cost = train_cost(config, inputs);
    const model::ParameterCount count = model::count_parameters(config);
    Answer answer{.title = title_of("Training", inputs), .sections = {}, .headline = {}};
    answer.sections.push_back(
        {.title = "MODEL AND LAYOUT",
         .figures = {{"parameters", "parameters", double(count.total), ""},
                     {"active_parameters", "used by a token, head counted", double(count.active),
                      ""},
                     {"mtp_parameters", "MTP modules", double(count.mtp), ""}},
         .notes = {layout_text(inputs)}});
    answer.sections.push_back(flops_section(cost.work, inputs, cost));
    answer.sections.push_back(layer_section(inputs, cost.layer));
    if (config.n_routed_experts > 0 && inputs.layout.ep > 1)
        answer.sections.push_back(network_section(config, inputs, cost.layer));
    answer.sections.push_back(chunk_section(inputs, cost));
    answer.sections.push_back(step_section(cost));
    answer.sections.push_back(speed_section(inputs, cost));
    answer.sections.push_back(run_section(inputs, cost));
    if (is_published_run(inputs)) {
        answer.sections.push_back(
            {.title = "WHAT IS FITTED",
             .figures = {{"trace_gpu_hours_per_trillion",
                          "GPU-hours per trillion tokens from the quiet trace alone",
                          trace_only_gpu_hours(config, inputs), "h"}},
             .notes = {"Efficiencies are fitted to the trace of one layer, the slow-downs of "
                       "production to the parts of table 4.",
                       "Totals are their sums: the report's 180 K hours, days and dollars were "
                       "published apart from both."}});
    }
    answer.headline = {"step_seconds", "tokens_per_s_per_gpu", "mfu_causal",
                       "gpu_hours_per_trillion", "dollars"};
    if (is_published_run(inputs)) compare_with_published(answer);
    return answer;
}

}  // namespace hadal::plan
