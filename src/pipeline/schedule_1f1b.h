// One forward, one backward: the schedule that the others are measured by.
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// Narayanan et al. 2019 (PipeDream-Flush): as many forwards as there are ranks behind this one,
/// then one forward and one backward in turns, then the backwards that are left. At most ranks − r
/// micro-batches are live on rank r. Bubble (PP−1)(F+B).
Schedule schedule_1f1b(const Shape& shape);

}  // namespace hadal::pipeline
