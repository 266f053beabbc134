#include "pipeline/schedule_dualpipe.h"

#include <algorithm>

#include "core/error.h"
#include "pipeline/dual_steps.h"
#include "pipeline/messages.h"

namespace hadal::pipeline {

namespace {

void check(const Shape& shape) {
    if (shape.ranks % 2 != 0) {
        throw Error(Error::Kind::usage,
                    concat("dualpipe wants an even number of ranks, got ", shape.ranks, " (take ",
                           shape.ranks + 1, ", or dualpipev)"));
    }
    if (shape.micro_batches < 2 * shape.ranks || shape.micro_batches % 2 != 0) {
        throw Error(Error::Kind::usage,
                    concat("dualpipe on ", shape.ranks,
                           " ranks wants an even number of micro-batches of at least ",
                           2 * shape.ranks, ", got ", shape.micro_batches));
    }
}

}  // namespace

Schedule schedule_dualpipe(const Shape& shape) {
    check(shape);
    Schedule schedule = {.name = "dualpipe",
                         .ranks = shape.ranks,
                         .stages = shape.ranks,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::both_ways};
    const int each_way = shape.micro_batches / 2;
    for (int rank = 0; rank < shape.ranks; ++rank) {
        const int mirrored = shape.ranks - 1 - rank;
        const int from_end = std::min(rank, mirrored);
        DualSteps::Rank steps = {.to_middle = shape.ranks / 2 - from_end - 1,
                                 .depth = from_end + 1,
                                 .micro_batches = each_way,
                                 .phases = {{rank, 0}, {mirrored, each_way}}};
        if (rank > mirrored) std::swap(steps.phases[0], steps.phases[1]);
        schedule.actions.push_back(DualSteps::actions(steps));
    }
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
