#include "plan/train_cost.h"

#include <algorithm>
#include <cmath>

#include "pipeline/simulate.h"
#include "plan/placement.h"

namespace hadal::plan {

namespace {

int64_t mtp_depth(const model::ModelConfig& config, const Inputs& inputs) {
    return inputs.layout.mtp < 0 ? config.num_nextn_predict_layers : inputs.layout.mtp;
}

/// A schedule's bubble does not grow with its micro-batches: so many for each rank are simulated.
constexpr int64_t kSimulatedPerRank = 16;

/// What rank 0 does: counts of chunks, and the time in which it waits for others.
void simulate_step(const ChunkTimes& chunk, const Layout& layout, StepTimes& step) {
    // The rest comes in whole rounds, so that what a schedule asks of their number stays true.
    const int64_t rounds =
        std::max<int64_t>(0, step.micro_batches / layout.pp - kSimulatedPerRank) / 2;
    const int64_t more = rounds * 2 * layout.pp;
    pipeline::Timing timing;
    const double both = chunk.f + chunk.full_b();
    timing.stages = {{.forward = chunk.f,
                      .backward = chunk.full_b(),
                      .weight = chunk.w,
                      .overlapped = layout.bidirectional() ? chunk.pair : both}};
    const pipeline::Schedule schedule =
        pipeline::make_schedule(layout.schedule, {.ranks = int(layout.pp),
                                                  .micro_batches = int(step.micro_batches - more),
                                                  .stages_per_rank = int(layout.virtual_stages),
                                                  .timing = timing});
    step.schedule_bubble = pipeline::simulate(schedule, timing).idle.front();
    for (const pipeline::Action& action : schedule.actions.front()) {
        using enum pipeline::ActionKind;
        step.pairs += action.kind == forward_backward;
        step.singles += action.kind == forward;
        step.full_backwards += action.kind == backward;
        step.deferred += action.kind == backward_weight;
    }
    const double chunks = double(more) * double(layout.stages()) / double(layout.pp);
    if (layout.bidirectional()) {
        step.pairs += chunks;
    } else {
        step.singles += chunks;
        (step.deferred > 0 ? step.deferred : step.full_backwards) += chunks;
    }
}

/// Times of the counted chunks. A rank runs as many backward chunks alone as forward ones.
void time_chunks(const ChunkTimes& chunk, StepTimes& step) {
    step.paired = step.pairs * chunk.pair;
    step.forward = step.singles * chunk.f;
    step.backward = step.singles * chunk.b + step.full_backwards * chunk.w;
    step.weight = step.deferred * chunk.w;
}

}  // namespace

double optimizer_seconds(const model::ModelConfig& config, const Inputs& inputs) {
    const Layout& l = inputs.layout;
    const auto stages = cut_into_stages(config, mtp_depth(config, inputs), l.stages());
    const RankParameters held =
        rank_parameters(parameter_sizes(config), stages_of_rank(stages, l, l.pp / 2), config, l);
    const double bytes = l.gradient_bytes + l.weight_bytes;  // reduced, gathered
    const double node = std::min(inputs.network.gpus_per_node, replicas(l));
    const double nodes = replicas(l) / node;
    // The ranks of a node are of the same stage: they reduce among themselves first.
    const double up = held.replicated * bytes * (node - 1) / node;
    double out = held.replicated * bytes / node * (nodes - 1) / nodes;
    const double copies = expert_replicas(l);
    out += held.experts * bytes * (copies - 1) / copies;
    const double efficiency = inputs.efficiency.collective;
    const double network = up / (inputs.network.scale_up_gb_per_s * 1e9 * efficiency) +
                           out / (inputs.network.scale_out_gb_per_s * 1e9 * efficiency);
    // Norm and zeroing pass over all gradients; the update reads and writes its split share.
    const double split = held.replicated / replicas(l) + held.experts / copies;
    const double touched =
        2 * l.gradient_bytes * held.total() +
        (2 * (l.master_bytes + l.moment_bytes) + bytes) * (l.zero >= 1 ? split : held.total());
    return network +
           touched / (inputs.gpu.memory_gb_per_s * 1e9 * inputs.efficiency.elementwise_bandwidth);
}

StepTimes step_times(const model::ModelConfig& config, const Inputs& inputs) {
    const Layout& layout = inputs.layout;
    const ModelWork work = work_of(config, layout.mtp);
    const double layers = layers_per_stage(work, double(layout.sequence), layout.stages());
    const ChunkTimes chunk =
        chunk_times(layer_times(config, inputs, micro_batch_tokens(inputs.layout)), inputs, layers);
    StepTimes step{.micro_batches = layout.micro_batches()};
    simulate_step(chunk, layout, step);
    time_chunks(chunk, step);
    // The steady phase runs at the pace of the fullest stage.
    const double steady =
        layout.bidirectional() ? step.paired : step.forward + step.backward + step.weight;
    if (layout.pp > 1) step.imbalance = inputs.production.stage_imbalance * steady;
    step.optimizer = optimizer_seconds(config, inputs);
    return step;
}

namespace {

void add_flops(const Inputs& inputs, TrainCost& cost) {
    const auto sequence = double(inputs.layout.sequence);
    cost.causal_flops = training_flops(cost.work, sequence, true, false);
    cost.full_flops = training_flops(cost.work, sequence, false, false);
    cost.mtp_flops = training_flops(cost.work, sequence, true, true) - cost.causal_flops;
    cost.achieved_causal = cost.tokens_per_s_per_gpu * cost.causal_flops;
    cost.achieved_full = cost.tokens_per_s_per_gpu * cost.full_flops;
    const double bf16 = inputs.gpu.bf16_tflops * 1e12;
    cost.mfu_causal = cost.achieved_causal / bf16;
    cost.mfu_full = cost.achieved_full / bf16;
    cost.mfu_format = cost.achieved_causal / matmul_peak(inputs);
}

/// Hours at the stated utilisation; 32K and 128K have half of the tokens each.
double context_gpu_hours(const Inputs& inputs, const ModelWork& work) {
    const double flops =
        (training_flops(work, 32768, true, true) + training_flops(work, 131072, true, true)) / 2;
    const double rate = inputs.run.context_mfu * inputs.gpu.bf16_tflops * 1e12;
    return inputs.run.context_tokens * flops / rate / 3600;
}

void add_run(const Inputs& inputs, TrainCost& cost) {
    const auto gpus = double(inputs.layout.gpus);
    cost.gpu_hours_per_trillion = 1e12 / cost.tokens_per_s_per_gpu / 3600;
    cost.days_per_trillion = cost.gpu_hours_per_trillion / gpus / 24;
    cost.pretraining_gpu_hours = inputs.run.tokens / 1e12 * cost.gpu_hours_per_trillion;
    cost.days = cost.pretraining_gpu_hours / gpus / 24;
    cost.context_gpu_hours = context_gpu_hours(inputs, cost.work);
    cost.post_training_gpu_hours = inputs.run.post_training_gpu_hours;
    cost.gpu_hours =
        cost.pretraining_gpu_hours + cost.context_gpu_hours + cost.post_training_gpu_hours;
    const Cost& c = inputs.cost;
    cost.dollars = cost.gpu_hours * c.gpu_hour_dollars;
    cost.gpu_kwh = cost.gpu_hours * inputs.gpu.tdp_watts / 1e3;
    cost.facility_kwh = cost.gpu_hours * c.node_watts_per_gpu * c.load * c.pue / 1e3;
    cost.carbon_kg = cost.facility_kwh * c.carbon_kg_per_kwh;
}

}  // namespace

TrainCost train_cost(const model::ModelConfig& config, const Inputs& inputs) {
    check_layout(config, inputs);
    const Layout& layout = inputs.layout;
    TrainCost cost{.work = work_of(config, layout.mtp)};
    cost.layer = layer_times(config, inputs, micro_batch_tokens(inputs.layout));
    cost.stage_layers = layers_per_stage(cost.work, double(layout.sequence), layout.stages());
    cost.chunk = chunk_times(cost.layer, inputs, cost.stage_layers);
    cost.step = step_times(config, inputs);
    cost.tokens_per_step = double(layout.batch * layout.sequence);
    cost.tokens_per_s = cost.tokens_per_step / cost.step.total();
    cost.tokens_per_s_per_gpu = cost.tokens_per_s / double(layout.gpus);
    add_flops(inputs, cost);
    add_run(inputs, cost);
    return cost;
}

}  // namespace hadal::plan
