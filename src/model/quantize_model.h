// A model directory written again with its weights in another type: block-FP8 as DeepSeek releases
// it, integers in groups of 32 as compressed-tensors packs them, or bf16.
#pragma once

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/context.h"
#include "core/progress.h"

namespace hadal::model {

enum class Storage : uint8_t {
    /// Report §3.3.2: the linear maps of attention and feed-forwards in E4M3 with one f32 scale
    /// (`weight_scale_inv`, the multiplier) for each block of 128×128; all else in bf16.
    block_fp8,
    /// Integers in groups of 32 (`weight_packed`, `weight_scale`, `weight_shape` of
    /// compressed-tensors, see formats/int4_group.h and int8_group.h). An expert's tensors are most
    /// of the bytes of such a model, and the least of its bytes that a token reads. In all four the
    /// embedding, norms, the router's gate and kv_b_proj stay in bf16, and so does, beyond the
    /// experts, what is no whole groups.
    int4_experts,  // as Kimi-K2-Thinking is released: all else in bf16
    int4_int8,     // experts in INT4; attention, shared experts, dense layers and head in INT8
    int4,          // all of them but the head, which is in INT8
    int8,
    bf16,
};

/// Of weights by name: for each column, the mean square of the activations that meet it.
using ColumnImportance = std::map<std::string, std::vector<float>, std::less<>>;

struct QuantizeOptions {
    Storage to = Storage::block_fp8;
    bool force = false;  // replace an existing model directory
    int64_t max_shard_bytes = 5'000'000'000;
    /// For INT4 scales; a weight that is not in it has errors that all count the same.
    ColumnImportance importance = {};
    std::map<std::string, std::string> files = {};  // beside what a GGUF file gives: a tokenizer
    ProgressCallback progress = {};                 // in tensors
};

struct QuantizeResult {
    int64_t tensors = 0;
    int64_t bytes = 0;         // of the tensors written
    int64_t weights = 0;       // that they stand for
    double max_abs_error = 0;  // of any weight, against what the source stands for

    double bits_per_weight() const {
        return 8 * double(bytes) / double(weights);
    }
};

/// Reads one tensor after another, so that memory is bounded by a few times the largest, and writes
/// `directory`, which appears whole or not at all. The router's bias stays f32; tensors that the
/// configuration does not know stay as they are, and so do the other keys of config.json and the
/// other files (tokenizer, generation settings). Error(corrupt_file) for a checkpoint that does not
/// match its config.json or holds a weight that is not finite, Error(usage) for one that is stored
/// so already, Error(unsupported) for experts that are no whole groups of 32, further errors as
/// checkpoint::HuggingFaceWriter. Codes that are kept are copied.
QuantizeResult quantize_model(Context& context, const std::filesystem::path& source,
                              const std::filesystem::path& directory,
                              const QuantizeOptions& options);

/// The same from a GGUF file of architecture `deepseek2`, whatever types it holds. Errors as
/// GgufWeights too.
QuantizeResult quantize_gguf(Context& context, const std::filesystem::path& source,
                             const std::filesystem::path& directory,
                             const QuantizeOptions& options);

}  // namespace hadal::model
