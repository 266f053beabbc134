// A directory laid out as the released DeepSeek-V3 checkpoint: every name, type, shape and file of
// the 671B model, the weights themselves being holes in sparse files. 12 MB of headers and a 9 MB
// index, as the original has.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "checkpoint/safetensors_writer.h"

namespace hadal::test {

inline constexpr int64_t kV3Files = 163;

/// All 91 991 tensors in the order of the layers.
std::vector<checkpoint::TensorSpec> v3_tensors();

/// Writes config.json (empty), the index and the 163 files; occupies some 30 MB.
void write_v3_layout(const std::filesystem::path& directory);

}  // namespace hadal::test
