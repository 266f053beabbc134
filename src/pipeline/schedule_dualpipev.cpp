#include "pipeline/schedule_dualpipev.h"

#include "core/error.h"
#include "pipeline/dual_steps.h"
#include "pipeline/messages.h"

namespace hadal::pipeline {

Schedule schedule_dualpipev(const Shape& shape) {
    if (shape.micro_batches < 2 * shape.ranks) {
        throw Error(Error::Kind::usage,
                    concat("dualpipev on ", shape.ranks, " ranks wants at least ", 2 * shape.ranks,
                           " micro-batches, got ", shape.micro_batches));
    }
    Schedule schedule = {.name = "dualpipev",
                         .ranks = shape.ranks,
                         .stages = 2 * shape.ranks,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::vee};
    for (int rank = 0; rank < shape.ranks; ++rank) {
        schedule.actions.push_back(
            DualSteps::actions({.to_middle = shape.ranks - rank - 1,
                                .depth = rank + 1,
                                .micro_batches = shape.micro_batches,
                                .phases = {{rank, 0}, {2 * shape.ranks - 1 - rank, 0}}}));
    }
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
