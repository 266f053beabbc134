// Any bytes as a GGUF file: refused with an Error, or every tensor lies inside and is dequantised
// without a step outside.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>
#include <vector>

#include "checkpoint/gguf.h"
#include "formats/ggml_blocks.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    // A copy of exactly this size: the sanitiser sees a step beyond it.
    const std::vector<uint8_t> copy(data, data + size);
    const auto file = std::as_bytes(std::span(copy));
    try {
        const auto header = hadal::checkpoint::parse_gguf(file, "input");
        unsigned sum = 0;
        for (const auto& [key, value] : header.values) {
            for (const char letter : key) sum += unsigned(letter);
            if (const auto* array = std::get_if<hadal::checkpoint::GgufArray>(&value)) {
                for (const char byte : array->bytes) sum += unsigned(byte);
            }
        }
        for (const auto& tensor : header.tensors) {
            if (tensor.offset < 0 || tensor.bytes < 1 ||
                size_t(tensor.offset) + size_t(tensor.bytes) > size) {
                std::abort();
            }
            std::vector<float> values(size_t(tensor.shape.count()));
            hadal::formats::dequantize_blocks(
                tensor.type, file.subspan(size_t(tensor.offset), size_t(tensor.bytes)), values);
        }
        [[maybe_unused]] const volatile unsigned read = sum;
    } catch (const hadal::Error&) {
    }
    return 0;
}
