// Any bytes as JSON from outside, and as the index of a sharded model: refused with an Error, or a
// value that can be written out and read again.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <string_view>

#include "checkpoint/shard_index.h"
#include "core/error.h"
#include "core/json.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    try {
        const nlohmann::json value = hadal::parse_json(text, "input");
        if (hadal::parse_json(value.dump(), "output") != value) std::abort();
    } catch (const hadal::Error&) {
    }
    try {
        const auto weight_map = hadal::checkpoint::parse_shard_index(text, "input");
        const auto again = hadal::checkpoint::parse_shard_index(
            hadal::checkpoint::shard_index_text(weight_map, 0), "output");
        if (again != weight_map) std::abort();
    } catch (const hadal::Error&) {
    }
    return 0;
}
