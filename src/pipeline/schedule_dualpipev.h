// DualPipeV: one half of DualPipe, folded, so that no weight exists twice.
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// The eight steps of DualPipe on ranks that hold stages r and 2·ranks−1−r: what enters at the
/// other end of DualPipe is here the way back up. With PP = 2·ranks stages: bubble (PP/2−1)(F&B + B
/// − 3W), PP+1 live chunks. Error(usage) unless there are at least 2·ranks micro-batches.
Schedule schedule_dualpipev(const Shape& shape);

}  // namespace hadal::pipeline
