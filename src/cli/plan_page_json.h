// Parts of a plan as the planner's page draws them.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "plan/answers.h"

namespace hadal::cli {

/// Sections of figures and tables, with every number as text too.
nlohmann::json answer_json(const plan::Answer& answer);

/// Every input with its range and its source.
nlohmann::json inputs_json(const plan::Inputs& inputs);

/// Bytes on a GPU of each pipeline rank, by what they hold.
nlohmann::json memory_json(const model::ModelConfig& config, const plan::Inputs& inputs);

/// When each rank works, for the first micro-batches of a step: {"makespan", "rows": [{kind:
/// [begin, end, begin, end, …]}]} in seconds. Null where a pipeline has one rank.
nlohmann::json timeline_json(const model::ModelConfig& config, const plan::Inputs& inputs);

}  // namespace hadal::cli
