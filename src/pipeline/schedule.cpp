#include "pipeline/schedule.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/nearest_name.h"
#include "pipeline/schedule_1f1b.h"
#include "pipeline/schedule_dualpipe.h"
#include "pipeline/schedule_dualpipev.h"
#include "pipeline/schedule_interleaved.h"
#include "pipeline/schedule_zero_bubble.h"
#include "pipeline/simulate.h"

namespace hadal::pipeline {

namespace {

constexpr int kMaxRanks = 256;
constexpr int kMaxStagesPerRank = 64;
constexpr int64_t kMaxChunks = 1'000'000;  // a picture or a table of more helps nobody

using Times = const StageTimes&;

// Formulas: V3 report, table 2; interleaved: Narayanan et al. 2021, §2.2; zb-v: with F = B - W = W
// what Qi et al. 2023 count as none, since they let a rank begin its next step before the others
// end this one.
constexpr std::array kKinds = {
    ScheduleKind{
        .name = "1f1b",
        .alias = "",
        .summary = "one forward and one backward in turns",
        .make = schedule_1f1b,
        .stages = [](const Shape& shape) { return shape.ranks; },
        .bubble = [](int ranks, Times t) { return (ranks - 1) * (t.forward + t.backward); },
        .bubble_formula = "(P-1)(F+B)",
    },
    ScheduleKind{
        .name = "interleaved",
        .alias = "interleaved-1f1b",
        .summary = "1f1b with several stages on a rank",
        .make = schedule_interleaved,
        .stages = [](const Shape& shape) { return shape.ranks * shape.stages_per_rank; },
        .bubble = [](int ranks, Times t) { return (ranks - 1) * (t.forward + t.backward); },
        .bubble_formula = "(P-1)(F+B)",
    },
    ScheduleKind{
        .name = "zb-h1",
        .alias = "zb1p",
        .summary = "1f1b that defers weight gradients, in the memory of 1f1b",
        .make = schedule_zb_h1,
        .stages = [](const Shape& shape) { return shape.ranks; },
        .bubble = [](int ranks,
                     Times t) { return (ranks - 1) * (t.forward + t.backward - 2 * t.weight); },
        .bubble_formula = "(P-1)(F+B-2W)",
    },
    ScheduleKind{
        .name = "zb-v",
        .alias = "",
        .summary = "two stages on a rank in a V, weight gradients fill every gap",
        .make = schedule_zb_v,
        .stages = [](const Shape& shape) { return 2 * shape.ranks; },
        .bubble = [](int ranks, Times t) { return (ranks - 1) * t.forward; },
        .bubble_formula = "(P-1)F",
    },
    ScheduleKind{
        .name = "dualpipe",
        .alias = "",
        .summary = "micro-batches from both ends, forwards over backwards; weights twice",
        .make = schedule_dualpipe,
        .stages = [](const Shape& shape) { return shape.ranks; },
        .bubble =
            [](int ranks, Times t) {
                return (ranks / 2 - 1) * (t.overlapped + t.backward - 3 * t.weight);
            },
        .bubble_formula = "(P/2-1)(F&B+B-3W)",
    },
    ScheduleKind{
        .name = "dualpipev",
        .alias = "",
        .summary = "half of dualpipe folded to a V; weights once",
        .make = schedule_dualpipev,
        .stages = [](const Shape& shape) { return 2 * shape.ranks; },
        .bubble = [](int ranks,
                     Times t) { return (ranks - 1) * (t.overlapped + t.backward - 3 * t.weight); },
        .bubble_formula = "(P-1)(F&B+B-3W)",
    },
};

}  // namespace

int Schedule::rank_of(const Chunk& chunk) const {
    switch (placement) {
        case Placement::loop:
            return chunk.stage % ranks;
        case Placement::vee:
            return chunk.stage < ranks ? chunk.stage : 2 * ranks - 1 - chunk.stage;
        case Placement::both_ways:
            return direction(chunk.micro_batch) == 0 ? chunk.stage : ranks - 1 - chunk.stage;
    }
    HADAL_ASSERT(false);
    return 0;
}

int Schedule::slot_of(const Chunk& chunk) const {
    return placement == Placement::both_ways ? direction(chunk.micro_batch) : chunk.stage / ranks;
}

int Schedule::stages_per_rank() const {
    return placement == Placement::both_ways ? 2 : stages / ranks;
}

std::span<const ScheduleKind> schedule_kinds() {
    return kKinds;
}

void check_shape(const Shape& shape) {
    const auto require_range = [](const char* what, int value, int maximum) {
        if (value < 1 || value > maximum) {
            throw Error(Error::Kind::usage, concat(value, " ", what, " is not in 1 … ", maximum));
        }
    };
    require_range("ranks", shape.ranks, kMaxRanks);
    require_range("micro-batches", shape.micro_batches, int(kMaxChunks));
    require_range("stages on a rank", shape.stages_per_rank, kMaxStagesPerRank);
    if (int64_t(shape.ranks) * shape.stages_per_rank * shape.micro_batches > kMaxChunks) {
        throw Error(Error::Kind::usage,
                    concat(shape.ranks, " ranks with ", shape.stages_per_rank, " stages each and ",
                           shape.micro_batches, " micro-batches are more than ", kMaxChunks,
                           " chunks (ask for fewer micro-batches: the bubble does not "
                           "depend on their number)"));
    }
}

const ScheduleKind& find_schedule(std::string_view name) {
    std::vector<std::string> names;
    for (const ScheduleKind& kind : kKinds) {
        if (name == kind.name || (!kind.alias.empty() && name == kind.alias)) return kind;
        names.emplace_back(kind.name);
        if (!kind.alias.empty()) names.emplace_back(kind.alias);
    }
    std::string all;
    for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
    throw Error(Error::Kind::usage, concat("unknown schedule '", name, "'",
                                           did_you_mean(name, names), " (there are ", all, ")"));
}

Schedule make_schedule(std::string_view name, const Shape& shape) {
    const ScheduleKind& kind = find_schedule(name);
    check_shape(shape);
    Schedule schedule = kind.make(shape);
    HADAL_ASSERT(schedule.stages == kind.stages(shape));
    return schedule;
}

}  // namespace hadal::pipeline
