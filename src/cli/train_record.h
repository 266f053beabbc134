// A training step's figures as a line of --json.
#pragma once

#include "cli/report.h"
#include "train/metrics.h"

namespace hadal::cli {

Record step_record(const train::Metrics& metrics);

}  // namespace hadal::cli
