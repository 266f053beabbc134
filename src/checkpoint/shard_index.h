// model.safetensors.index.json: which file of a sharded model holds which tensor.
#pragma once

#include <map>
#include <string>
#include <string_view>

namespace hadal::checkpoint {

inline constexpr std::string_view kIndexFile = "model.safetensors.index.json";
inline constexpr std::string_view kSingleFile = "model.safetensors";

/// Tensor name → file name in the same directory.
using WeightMap = std::map<std::string, std::string, std::less<>>;

/// Reads "weight_map"; anything else, such as "metadata" with a total that is often wrong, is
/// passed over. Error(corrupt_file) names `where`.
WeightMap parse_shard_index(std::string_view text, std::string_view where);

std::string shard_index_text(const WeightMap& weight_map, int64_t total_bytes);

}  // namespace hadal::checkpoint
