// `hadal train --watch RUN`: the live curves of a run, of this or another process.
#pragma once

#include "cli/arguments.h"
#include "cli/report.h"

namespace hadal::cli {

/// On a terminal until q or Ctrl-C; elsewhere one picture, under --json the last step's figures.
void run_train_watch(const Arguments& arguments, Report& report);

}  // namespace hadal::cli
