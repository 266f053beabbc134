// The four questions of `hadal plan`, answered: computed, laid out in sections, compared with what
// is published where the inputs are those of the published run.
#pragma once

#include "model/config.h"
#include "plan/answer.h"

namespace hadal::plan {

Answer answer_train(const model::ModelConfig& config, const Inputs& inputs);
Answer answer_memory(const model::ModelConfig& config, const Inputs& inputs);
/// Units of many GPUs, or a single machine where layout.gpus is 1.
Answer answer_serve(const model::ModelConfig& config, const Inputs& inputs);
Answer answer_failures(const model::ModelConfig& config, const Inputs& inputs);

/// "v3-671b on h800-2048 · 2048 × H800 SXM · PP16 × EP64 × ZeRO-1 · dualpipe · fp8"
std::string title_of(const std::string& what, const Inputs& inputs);

}  // namespace hadal::plan
