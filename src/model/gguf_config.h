// What a GGUF file of architecture `deepseek2` says about the model in it. Everything is taken from
// keys and tensors that are there; where the files of older converters lack one, the choice is the
// one their engines make, and is listed.
#pragma once

#include <string>
#include <vector>

#include "checkpoint/gguf.h"
#include "model/config.h"

namespace hadal::model {

struct GgufConfig {
    ModelConfig config;
    /// "n_group 1: the file has no deepseek2.expert_group_count", …: what its user should know.
    std::vector<std::string> assumed;
};

/// Error(unsupported) for another architecture or a feature that hadal lacks, Error(corrupt_file)
/// for a key that is missing or of the wrong type, and errors as check_config.
GgufConfig gguf_config(const checkpoint::Gguf& file);

}  // namespace hadal::model
