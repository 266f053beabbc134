// 1F1B with several stages on a rank: a shorter bubble for more messages.
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// Narayanan et al. 2021 (Megatron-LM, §2.2): rank r holds stages r, r + ranks, …, and works on
/// groups of as many micro-batches as there are ranks, one stage after the other. With v stages
/// on a rank the bubble is (PP−1)(F+B) of stages that are a v-th as long. Error(usage) unless the
/// micro-batches divide by the ranks.
Schedule schedule_interleaved(const Shape& shape);

}  // namespace hadal::pipeline
