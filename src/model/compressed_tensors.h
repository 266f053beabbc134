// quantization_config of compressed-tensors: weights of integers in groups of 32, as config.json
// says it. Which weights are stored so, and in how many bits, the files say themselves
// (checkpoint::HuggingFace::packed_weight), so what is read here is only whether hadal understands.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::model {

/// Bits of a model's linear maps; 16 is bf16. Never the router's gate, which decides by small
/// differences, nor kv_b_proj, which attention takes apart by heads and multiplies from both sides.
struct WeightBits {
    int experts = 16;  // routed
    int rest = 16;     // attention, shared experts, dense layers
    int head = 16;     // lm_head, where the embedding does not stand in for it
};

/// The object as vLLM and Transformers read it. `unfit`: layers that stay in bf16 because their
/// rows are no whole groups.
nlohmann::ordered_json compressed_tensors_config(const WeightBits& bits,
                                                 const std::vector<std::string>& unfit);

/// Error(unsupported) names a key that asks for something else than symmetric INT4 and INT8 in
/// groups of 32 with activations as they are, Error(bad_input) one that is missing or malformed.
void check_compressed_tensors(const nlohmann::json& quantization, std::string_view where);

}  // namespace hadal::model
