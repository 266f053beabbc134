// Whether a schedule is right: the rules that any list of actions must keep, whoever made it.
#pragma once

#include <string>
#include <vector>

#include "pipeline/schedule.h"

namespace hadal::pipeline {

/// What is wrong with a schedule, a line each; empty if nothing is:
///  - every micro-batch runs forward, input gradient and weight gradient once in every stage, on
///    the rank that holds it, in this order;
///  - what an action needs was made on its rank or received there before it;
///  - a message is sent after what it carries was made, once, to the rank that needs it, which
///    receives it once;
///  - the lists end even if every send blocks until its receive is reached and the reverse, one
///    message at a time: with any buffer, and with messages in batches, they then end as well.
std::vector<std::string> problems(const Schedule& schedule);

}  // namespace hadal::pipeline
