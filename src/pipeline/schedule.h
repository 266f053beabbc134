// A pipeline schedule is data: for each rank an ordered list of actions. The same lists feed the
// simulator that plans, the picture that explains, and an executor that trains.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "pipeline/timing.h"

namespace hadal::pipeline {

/// Which rank holds which stage.
enum class Placement {
    loop,       // stage s on rank s mod ranks
    vee,        // down and up again: stages r and 2·ranks − 1 − r on rank r
    both_ways,  // every stage twice: the first half of the micro-batches enters at rank 0, the
                // second at the last rank (DualPipe)
};

/// What a schedule is asked for.
struct Shape {
    int ranks = 1;
    int micro_batches = 1;
    int stages_per_rank = 2;  // interleaved only: the others have one or two by construction
    Timing timing = {};       // zb-v: what its order is made for
};

struct Schedule {
    std::string name = {};
    int ranks = 1;
    int stages = 1;
    int micro_batches = 1;  // in all, both directions together
    Placement placement = Placement::loop;
    std::vector<std::vector<Action>> actions = {};  // [ranks], each in the order of running

    /// 1 for a micro-batch that enters at the last rank (both_ways only), else 0.
    int direction(int micro_batch) const {
        return placement == Placement::both_ways && 2 * micro_batch >= micro_batches ? 1 : 0;
    }
    int rank_of(const Chunk& chunk) const;
    /// Which of its rank's stages a chunk runs on: 0 … stages_per_rank() − 1.
    int slot_of(const Chunk& chunk) const;
    int stages_per_rank() const;
    /// Weights that a rank holds, in shares of (all weights / ranks): 2 for DualPipe, else 1.
    double weight_copies() const {
        return double(stages_per_rank()) * ranks / stages;
    }
};

/// A schedule that can be asked for by name.
struct ScheduleKind {
    std::string_view name;
    std::string_view alias;    // another usual name; may be empty
    std::string_view summary;  // half a line
    Schedule (*make)(const Shape& shape);
    int (*stages)(const Shape& shape);  // of the schedule that `make` makes
    /// The published idle time of a rank in one step, for equal stages that take `times` each.
    double (*bubble)(int ranks, const StageTimes& times);
    std::string_view bubble_formula;  // the same in symbols; P is the number of ranks
};

/// All of them, the oldest first.
std::span<const ScheduleKind> schedule_kinds();

/// By name or alias. Error(usage) names the nearest known schedule.
const ScheduleKind& find_schedule(std::string_view name);

/// Error(usage) as find_schedule, or says what in `shape` the schedule cannot do.
Schedule make_schedule(std::string_view name, const Shape& shape);

/// Error(usage) unless the figures of `shape` are in the range that every schedule accepts.
void check_shape(const Shape& shape);

}  // namespace hadal::pipeline
