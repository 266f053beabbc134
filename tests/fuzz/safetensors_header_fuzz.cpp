// Any bytes as a safetensors file: refused with an Error, or every tensor lies inside and can be
// read.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <span>

#include "checkpoint/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const auto file = std::as_bytes(std::span(data, size));
    try {
        const auto header = hadal::checkpoint::parse_safetensors_header(file, "input");
        unsigned sum = 0;
        for (const auto& tensor : header.tensors) {
            const auto bytes = file.subspan(size_t(tensor.offset), size_t(tensor.bytes()));
            for (const std::byte byte : bytes) sum += unsigned(byte);
            if (tensor.offset < 8 || size_t(tensor.offset + tensor.bytes()) > size) std::abort();
        }
        if (header.by_name.size() != header.tensors.size()) std::abort();
        [[maybe_unused]] const volatile unsigned read = sum;
    } catch (const hadal::Error&) {
    }
    return 0;
}
