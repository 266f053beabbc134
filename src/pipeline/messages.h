// Where the sends and receives stand between the computations of a schedule.
#pragma once

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// Inserts a send and a receive for every result that another rank needs; `schedule` holds only
/// computations yet.
///
/// All ranks order their actions by one clock: a simulation in which F, B without W, and W take one
/// unit each. A message stands at the moment when its sender has made what it carries, on both
/// sides. So the lists are parts of one common order, and no deadlock is possible even if every
/// send blocks until its receive is reached: the first unfinished action of that order is the
/// next one on each of its ranks. Messages between two computations may run as one batch.
void add_messages(Schedule& schedule);

}  // namespace hadal::pipeline
