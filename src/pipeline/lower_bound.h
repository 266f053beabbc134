// How fast any schedule could be at best.
#pragma once

#include "pipeline/simulate.h"

namespace hadal::pipeline {

/// No order of the same work on the same ranks ends earlier: the larger of
///  - for each rank: the forwards before it until its first work arrives, and then all its work
///    without a gap, every F and B overlapped if that is shorter;
///  - one micro-batch alone: down through every stage, back up, and the first stage's W.
double lower_bound(const Schedule& schedule, const Timing& timing);

}  // namespace hadal::pipeline
