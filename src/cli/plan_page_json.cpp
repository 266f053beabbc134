#include "cli/plan_page_json.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

#include "pipeline/simulate.h"
#include "plan/memory.h"
#include "plan/train_cost.h"

namespace hadal::cli {

namespace {

using nlohmann::json;

json figure_json(const plan::Figure& figure) {
    json result = {{"key", figure.key},
                   {"label", figure.label},
                   {"value", figure.value},
                   {"text", plan::quantity(figure.value, figure.unit)},
                   {"mark", plan::name(figure.mark)},
                   {"note", figure.note}};
    if (figure.published) {
        result["published"] = {{"value", figure.published->value},
                               {"text", plan::quantity(figure.published->value, figure.unit)},
                               {"source", figure.published->source}};
    }
    return result;
}

json table_json(const plan::Table& table) {
    json columns = json::array(), rows = json::array();
    for (const plan::Table::Column& column : table.columns) columns.push_back(column.label);
    for (const std::vector<plan::Cell>& row : table.rows) {
        json cells = json::array();  // [text, value], or the text alone
        for (size_t i = 0; i < row.size(); ++i) {
            if (const auto* text = std::get_if<std::string>(&row[i])) {
                cells.push_back(*text);
            } else {
                const double value = std::get<double>(row[i]);
                cells.push_back({plan::quantity(value, table.columns[i].unit), value});
            }
        }
        rows.push_back(std::move(cells));
    }
    return {{"key", table.key}, {"title", table.title}, {"columns", columns}, {"rows", rows}};
}

json section_json(const plan::Section& section) {
    json figures = json::array(), tables = json::array();
    for (const plan::Figure& figure : section.figures) figures.push_back(figure_json(figure));
    for (const plan::Table& table : section.tables) tables.push_back(table_json(table));
    return {{"title", section.title},
            {"figures", figures},
            {"tables", tables},
            {"notes", section.notes}};
}

/// What the page colours alike.
std::string_view shade(pipeline::ActionKind kind) {
    using enum pipeline::ActionKind;
    switch (kind) {
        case forward:
            return "forward";
        case backward:
        case backward_input:
            return "backward";
        case backward_weight:
            return "weight";
        case forward_backward:
            return "both";
        default:
            return "";
    }
}

}  // namespace

json answer_json(const plan::Answer& answer) {
    json sections = json::array();
    for (const plan::Section& section : answer.sections) sections.push_back(section_json(section));
    return {{"title", answer.title}, {"headline", answer.headline}, {"sections", sections}};
}

json inputs_json(const plan::Inputs& inputs) {
    json result = json::array();
    plan::Inputs copy = inputs;
    for (const plan::InputKey& key : plan::input_keys(copy)) {
        const plan::Origin& origin = plan::origin_of(inputs, key);
        result.push_back({{"key", key.name},
                          {"value", plan::input_text(key)},
                          {"unit", key.unit},
                          {"help", key.help},
                          {"minimum", key.minimum},
                          {"maximum", key.maximum},
                          {"choices", key.choices},
                          {"kind", plan::name(origin.kind)},
                          {"source", origin.text}});
    }
    return result;
}

json memory_json(const model::ModelConfig& config, const plan::Inputs& inputs) {
    json ranks = json::array();
    for (const plan::RankMemory& rank : plan::rank_memories(config, inputs)) {
        ranks.push_back({{"rank", rank.rank},
                         {"weights", rank.weights},
                         {"gradients", rank.gradients},
                         {"optimizer", rank.master + rank.moments},
                         {"activations", rank.activations + rank.logits},
                         {"buffers", rank.buffers + rank.reserve},
                         {"total", rank.total()},
                         {"text", plan::quantity(rank.total(), "B")}});
    }
    const double capacity = inputs.gpu.memory_gb * 1e9;
    return {
        {"capacity", capacity}, {"capacity_text", plan::quantity(capacity, "B")}, {"ranks", ranks}};
}

json timeline_json(const model::ModelConfig& config, const plan::Inputs& inputs) {
    const plan::Layout& layout = inputs.layout;
    if (layout.pp < 2) return nullptr;
    const plan::ChunkTimes chunk = plan::train_cost(config, inputs).chunk;
    const double both = chunk.f + chunk.full_b();
    pipeline::Timing timing;
    timing.stages = {{.forward = chunk.f,
                      .backward = chunk.full_b(),
                      .weight = chunk.w,
                      .overlapped = layout.bidirectional() ? chunk.pair : both}};
    // Three rounds show the ramps and the steady phase; more would only be longer.
    const int64_t micro_batches = std::min(layout.micro_batches(), 3 * layout.pp);
    const pipeline::Schedule schedule =
        pipeline::make_schedule(layout.schedule, {.ranks = int(layout.pp),
                                                  .micro_batches = int(micro_batches),
                                                  .stages_per_rank = int(layout.virtual_stages),
                                                  .timing = timing});
    const pipeline::Timeline timeline = pipeline::simulate(schedule, timing);
    json rows = json::array();
    for (size_t rank = 0; rank < schedule.actions.size(); ++rank) {
        json row = json::object();
        for (size_t i = 0; i < schedule.actions[rank].size(); ++i) {
            const pipeline::Action& action = schedule.actions[rank][i];
            if (action.is_message()) continue;
            const pipeline::Span& span = timeline.spans[rank][i];
            json& spans = row[std::string(shade(action.kind))];
            spans.push_back(span.begin);
            spans.push_back(span.end);
        }
        rows.push_back(std::move(row));
    }
    return {{"schedule", schedule.name},
            {"micro_batches", micro_batches},
            {"of", layout.micro_batches()},
            {"makespan", timeline.makespan},
            {"rows", rows}};
}

}  // namespace hadal::cli
