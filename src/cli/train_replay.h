// `hadal train --replay RUN/spikes/step-N.json`: one recorded step again, and what is in it.
#pragma once

#include "cli/arguments.h"
#include "cli/report.h"

namespace hadal::cli {

void run_train_replay(const Arguments& arguments, Report& report);

}  // namespace hadal::cli
