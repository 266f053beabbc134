#include "checkpoint/digest.h"

#include <xxhash.h>

namespace hadal::checkpoint {

uint64_t digest(std::span<const std::byte> bytes) {
    return XXH64(bytes.data(), bytes.size(), /*seed=*/0);
}

}  // namespace hadal::checkpoint
