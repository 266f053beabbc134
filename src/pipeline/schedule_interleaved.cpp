#include "pipeline/schedule_interleaved.h"

#include <algorithm>

#include "core/error.h"
#include "pipeline/messages.h"

namespace hadal::pipeline {

namespace {

/// The i-th forward of a rank; its backwards take the same order with the stages from the last on.
Chunk chunk_at(const Shape& shape, int rank, int i, bool backward) {
    const int per_group = shape.ranks * shape.stages_per_rank;
    const int slot = i % per_group / shape.ranks;
    const int from = backward ? shape.stages_per_rank - 1 - slot : slot;
    return {from * shape.ranks + rank, i / per_group * shape.ranks + i % shape.ranks};
}

}  // namespace

Schedule schedule_interleaved(const Shape& shape) {
    if (shape.micro_batches % shape.ranks != 0) {
        throw Error(
            Error::Kind::usage,
            concat("interleaved on ", shape.ranks,
                   " ranks wants a multiple of them as micro-batches, got ", shape.micro_batches));
    }
    Schedule schedule = {.name = "interleaved",
                         .ranks = shape.ranks,
                         .stages = shape.ranks * shape.stages_per_rank,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::loop};
    const int total = shape.stages_per_rank * shape.micro_batches;
    for (int rank = 0; rank < shape.ranks; ++rank) {
        // The first gradient is back when the first group has passed every stage.
        const int warm_up = std::min(
            total, 2 * (shape.ranks - 1 - rank) + (shape.stages_per_rank - 1) * shape.ranks);
        std::vector<Action>& actions = schedule.actions.emplace_back();
        for (int i = 0; i < total + warm_up; ++i) {
            if (i < total) {
                actions.push_back({.kind = ActionKind::forward,
                                   .chunk = chunk_at(shape, rank, i, /*backward=*/false)});
            }
            if (i >= warm_up) {
                actions.push_back({.kind = ActionKind::backward,
                                   .chunk = chunk_at(shape, rank, i - warm_up, /*backward=*/true)});
            }
        }
    }
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
