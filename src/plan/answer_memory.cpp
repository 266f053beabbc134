#include <algorithm>

#include "core/error.h"
#include "plan/answers.h"
#include "plan/layer_times.h"
#include "plan/memory.h"
#include "plan/published.h"

namespace hadal::plan {

namespace {

Section ranks_section(const std::vector<RankMemory>& ranks, const RankMemory& fullest) {
    const RankMemory& end = ranks.front();
    const RankMemory& middle = ranks[ranks.size() / 2];
    Table table{.key = "ranks",
                .title = "",
                .columns = {{"item", "on one GPU", ""},
                            {"end", "rank 0", "B"},
                            {"middle", concat("rank ", middle.rank), "B"},
                            {"fullest", concat("fullest, rank ", fullest.rank), "B"}},
                .rows = {}};
    const auto row = [&](const char* item, double RankMemory::* member) {
        table.rows.push_back({item, end.*member, middle.*member, fullest.*member});
    };
    row("weights to compute with", &RankMemory::weights);
    row("gradients", &RankMemory::gradients);
    row("master weights", &RankMemory::master);
    row("moments", &RankMemory::moments);
    table.rows.push_back({"states", end.states(), middle.states(), fullest.states()});
    row("activations", &RankMemory::activations);
    row("logits and their gradient", &RankMemory::logits);
    row("dispatch and combine", &RankMemory::buffers);
    row("reserve", &RankMemory::reserve);
    table.rows.push_back({"total", end.total(), middle.total(), fullest.total()});
    return {.title = "BYTES PER RANK", .tables = {table}};
}

Section activation_section(const model::ModelConfig& config, const Inputs& inputs) {
    const bool moe = config.n_routed_experts > 0;
    const double tokens = micro_batch_tokens(inputs.layout);
    Table table{.key = "activations",
                .title = "",
                .columns = {{"tensor", "kept for backward", ""},
                            {"format", "as", ""},
                            {"bytes_per_token", "a token", "B"},
                            {"bytes", "a micro-batch", "B"}},
                .rows = {}};
    for (const KeptTensor& tensor : kept_tensors(config, inputs.layout, moe)) {
        table.rows.push_back(
            {tensor.name, tensor.format, tensor.bytes_per_token, tensor.bytes_per_token * tokens});
    }
    const double sum = kept_bytes_per_token(config, inputs.layout, moe);
    table.rows.push_back({"together", "", sum, sum * tokens});
    return {.title = concat("ACTIVATIONS OF ONE ", moe ? "MOE" : "DENSE", " LAYER, RECOMPUTE ",
                            inputs.layout.recompute),
            .tables = {table}};
}

Section remedy_section(const model::ModelConfig& config, const Inputs& inputs, double capacity,
                       bool fits) {
    Table table{.key = "changes",
                .title = "",
                .columns = {{"change", "change", ""},
                            {"bytes", "fullest rank", "B"},
                            {"fits", "fits", ""},
                            {"price", "its price", ""}},
                .rows = {}};
    for (const Remedy& remedy : remedies(config, inputs)) {
        table.rows.push_back(
            {remedy.change, remedy.bytes, remedy.bytes <= capacity ? "yes" : "no", remedy.price});
    }
    Section section{.title = fits ? "WHAT WOULD MAKE ROOM" : "WHAT TO CHANGE", .tables = {table}};
    if (table.rows.empty())
        section.notes = {"No single change helps: take more GPUs or a smaller model."};
    return section;
}

}  // namespace

Answer answer_memory(const model::ModelConfig& config, const Inputs& inputs) {
    check_layout(config, inputs);
    const std::vector<RankMemory> ranks = rank_memories(config, inputs);
    const RankMemory fullest = fullest_rank(config, inputs);
    const RankMemory& middle = ranks[ranks.size() / 2];
    const double capacity = inputs.gpu.memory_gb * 1e9;
    const bool fits = fullest.total() <= capacity;
    Answer answer{.title = title_of("Memory of training", inputs), .sections = {}, .headline = {}};
    answer.sections.push_back(
        {.title = fits ? "IT FITS" : "IT DOES NOT FIT",
         .figures = {
             {"fullest_rank_bytes", "fullest rank", fullest.total(), "B"},
             {"capacity_bytes", "memory of a GPU", capacity, "B", Mark::input},
             {"free_bytes", "left", capacity - fullest.total(), "B"},
             {"middle_state_bytes", "states, middle rank", middle.states(), "B"},
             {"middle_activation_bytes", "activations, middle rank", middle.activations, "B"},
             {"live_chunks", "chunks alive at a time, middle rank",
              live_chunks(inputs.layout, middle.rank), ""},
             {"rank_parameters", "parameters, middle rank", middle.parameters.total(), ""},
             {"replicas", "GPUs that share a dense parameter's state", replicas(inputs.layout), ""},
             {"expert_replicas", "GPUs that share an expert's state",
              expert_replicas(inputs.layout), ""}}});
    answer.sections.push_back(ranks_section(ranks, fullest));
    answer.sections.push_back(activation_section(config, inputs));
    answer.sections.push_back(remedy_section(config, inputs, capacity, fits));
    answer.headline = {"fullest_rank_bytes", "free_bytes", "middle_state_bytes",
                       "middle_activation_bytes"};
    if (is_published_run(inputs)) compare_with_published(answer);
    return answer;
}

}  // namespace hadal::plan
