// What the verbs of `hadal plan` share: the model and the inputs that a command line describes,
// and the report of an answer.
#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "cli/arguments.h"
#include "cli/report.h"
#include "plan/answers.h"
#include "plan/sweep.h"

namespace hadal::cli {

/// MODEL, --cluster, --scenario, --set, --sweep, …
std::vector<Option> plan_options();

using PlanQuestion = plan::Answer (*)(const model::ModelConfig& config, const plan::Inputs& inputs);

/// Asks and reports; `groups` are the beginnings of the keys that the answer depends on.
void run_plan(const Arguments& arguments, Report& report, PlanQuestion question,
              std::initializer_list<std::string_view> groups);

/// A sweep's table, and its picture if --svg asks for one.
void report_sweep(const Arguments& arguments, Report& report, const plan::Sweep& sweep,
                  const std::string& title);

}  // namespace hadal::cli
