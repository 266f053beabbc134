// Zero-bubble schedules: weight gradients wait until there is nothing else to do. Qi, Wan, Huang
// and Lin 2023, "Zero Bubble Pipeline Parallelism".
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// ZB-H1, called ZB1P in the V3 report: 1F1B whose backward is split. Rank r defers r weight
/// gradients, so that it holds PP micro-batches like rank 0 of 1F1B and never more. Bubble
/// (PP−1)(F+B−2W).
Schedule schedule_zb_h1(const Shape& shape);

/// ZB-V: rank r holds stages r and 2·ranks−1−r, and at most 2·ranks chunks are live on it, which is
/// the memory of 1F1B. The order is found by playing the step with the timing of `shape`: a free
/// rank takes the oldest input gradient that it can compute, else a forward if there is room (of
/// the way up before the way down, for which one place stays free), else a weight gradient. For
/// F = B − W = W no rank waits much after its first forward; what remains of the makespan is
/// the (ranks−1)·F until the last rank's first work. An order found for other times than those
/// that hold waits a lot: this schedule, unlike the others, has no slack that hides them.
Schedule schedule_zb_v(const Shape& shape);

}  // namespace hadal::pipeline
