// The types in which GGUF files store tensors, to float32. A quantised row is a run of blocks, each
// with its own scales. Only reading: hadal writes none of them. Plain loops, one function a type,
// with the roundings of the format's reference (scale times code in float32, in that order).
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace hadal::formats {

/// With the numbers that files use. What is not here (2 and 3 bits, the "I" types, ternary) is not
/// read.
enum class GgmlType : uint8_t {
    f32 = 0,
    f16 = 1,
    q4_0 = 2,
    q5_0 = 6,
    q8_0 = 8,
    q4_k = 12,
    q5_k = 13,
    q6_k = 14,
    bf16 = 30,
};

/// What a file's number stands for; nothing if this build does not read it.
std::optional<GgmlType> ggml_type(uint32_t number);
/// "Q4_K" also of types that are not read, so that a message can say which it was; "type 77" is "".
std::string_view ggml_type_name(uint32_t number);

struct GgmlBlock {
    int64_t values;
    int64_t bytes;
};
GgmlBlock block_of(GgmlType type);

/// `values` from `bytes`; both must be the same whole number of blocks.
void dequantize_blocks(GgmlType type, std::span<const std::byte> bytes, std::span<float> values);

}  // namespace hadal::formats
