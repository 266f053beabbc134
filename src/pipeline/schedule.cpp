#include "pipeline/schedule.h"

#include <algorithm>
#include <array>

#include "core/error.h"
#include "core/nearest_name.h"
#include "pipeline/schedule_1f1b.h"

namespace hadal::pipeline {

namespace {

constexpr int kMaxRanks = 1024;
constexpr int kMaxStagesPerRank = 64;
constexpr int64_t kMaxChunks = 4'000'000;  // a picture or a table of more helps nobody

constexpr std::array kKinds = {
    ScheduleKind{"1f1b", "", "one forward, one backward in turns", schedule_1f1b},
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

Schedule make_schedule(std::string_view name, const Shape& shape) {
    check_shape(shape);
    std::vector<std::string> names;
    for (const ScheduleKind& kind : kKinds) {
        if (name == kind.name || (!kind.alias.empty() && name == kind.alias))
            return kind.make(shape);
        names.emplace_back(kind.name);
        if (!kind.alias.empty()) names.emplace_back(kind.alias);
    }
    std::string all;
    for (const std::string& known : names) all += (all.empty() ? "" : ", ") + known;
    throw Error(Error::Kind::usage, concat("unknown schedule '", name, "'",
                                           did_you_mean(name, names), " (there are ", all, ")"));
}

}  // namespace hadal::pipeline
