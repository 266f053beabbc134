#include "plan/train_cost.h"

#include <algorithm>
#include <cmath>

#include "plan/placement.h"

namespace hadal::plan {

namespace {

int64_t mtp_depth(const model::ModelConfig& config, const Inputs& inputs) {
    return inputs.layout.mtp < 0 ? config.num_nextn_predict_layers : inputs.layout.mtp;
}

/// DualPipe, seen by an end rank. DualPipeV is DualPipe of twice the stages in which each
/// micro-batch passes each rank twice.
void dualpipe_step(const ChunkTimes& chunk, const Layout& layout, StepTimes& step) {
    const double folds = layout.schedule == "dualpipev" ? 2 : 1;
    const double pp = folds * double(layout.pp), n = folds * double(step.micro_batches);
    step.pairs = n - 1.5 * pp + 1;
    step.singles = n - step.pairs;
    step.deferred = pp - 1;
    step.paired = step.pairs * chunk.pair;
    step.forward = step.singles * chunk.f;
    step.backward = step.singles * chunk.b + (step.singles - step.deferred) * chunk.w;
    step.weight = step.deferred * chunk.w;
    step.schedule_bubble = (pp / 2 - 1) * (chunk.pair + chunk.full_b() - 3 * chunk.w);
}

void one_direction_step(const ChunkTimes& chunk, const Layout& layout, StepTimes& step) {
    const double per_micro_batch =
        layout.schedule == "interleaved" ? double(layout.virtual_stages) : 1;
    step.singles = double(step.micro_batches) * per_micro_batch;
    step.forward = step.singles * chunk.f;
    step.backward = step.singles * chunk.b;
    step.weight = step.singles * chunk.w;
    const double waits =
        layout.schedule == "zb1p" ? chunk.f + chunk.b - chunk.w : chunk.f + chunk.full_b();
    step.schedule_bubble = double(layout.pp - 1) * std::max(0.0, waits);
    if (layout.schedule == "zb1p") {
        step.deferred = step.singles;
    } else {
        step.backward += step.weight;
        step.weight = 0;
    }
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
    if (layout.bidirectional()) {
        dualpipe_step(chunk, layout, step);
        step.imbalance = inputs.production.stage_imbalance * step.paired;
    } else {
        one_direction_step(chunk, layout, step);
        if (layout.pp > 1) {
            step.imbalance =
                inputs.production.stage_imbalance * (step.forward + step.backward + step.weight);
        }
    }
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
