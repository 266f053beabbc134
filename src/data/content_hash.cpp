#include "data/content_hash.h"

#include <cstring>

#include "core/random.h"

namespace hadal::data {

uint64_t content_hash(std::string_view bytes, uint64_t seed) {
    constexpr uint64_t kStep = 0x9E3779B97F4A7C15ull;
    // The length goes in first, so that a tail padded with zeros differs from one that has them.
    uint64_t hash = mix_bits(seed + kStep * (bytes.size() + 1));
    while (!bytes.empty()) {
        uint64_t word = 0;
        const size_t taken = bytes.size() < sizeof word ? bytes.size() : sizeof word;
        std::memcpy(&word, bytes.data(), taken);
        hash = mix_bits((hash ^ word) * kStep + 1);
        bytes.remove_prefix(taken);
    }
    return hash;
}

std::string hash_text(uint64_t hash) {
    constexpr char kDigits[] = "0123456789abcdef";
    std::string text(16, '0');
    for (size_t i = 16; i-- > 0; hash >>= 4) text[i] = kDigits[hash & 15];
    return text;
}

}  // namespace hadal::data
