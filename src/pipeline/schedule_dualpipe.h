// DualPipe: micro-batches enter at both ends, and forwards hide the messages of backwards.
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// V3 report §3.2.1. Rank r holds stage r for the micro-batches that enter at rank 0 and stage
/// PP−1−r for those that enter at the last rank, so every weight exists twice. Bubble
/// (PP/2−1)(F&B + B − 3W), PP+1 live chunks. Error(usage) unless ranks are even and micro-batches
/// are even and at least 2·ranks.
Schedule schedule_dualpipe(const Shape& shape);

}  // namespace hadal::pipeline
