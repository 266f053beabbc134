#include "pipeline/schedule_1f1b.h"

#include <algorithm>

#include "pipeline/messages.h"

namespace hadal::pipeline {

Schedule schedule_1f1b(const Shape& shape) {
    Schedule schedule = {.name = "1f1b",
                         .ranks = shape.ranks,
                         .stages = shape.ranks,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::loop};
    for (int rank = 0; rank < shape.ranks; ++rank) {
        const int warm_up = std::min(shape.ranks - 1 - rank, shape.micro_batches);
        std::vector<Action>& actions = schedule.actions.emplace_back();
        for (int m = 0; m < warm_up; ++m) {
            actions.push_back({.kind = ActionKind::forward, .chunk = {rank, m}});
        }
        for (int m = 0; m < shape.micro_batches; ++m) {
            if (m + warm_up < shape.micro_batches) {
                actions.push_back({.kind = ActionKind::forward, .chunk = {rank, m + warm_up}});
            }
            actions.push_back({.kind = ActionKind::backward, .chunk = {rank, m}});
        }
    }
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
