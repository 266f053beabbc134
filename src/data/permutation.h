// A seeded shuffle of [0, count) that is computed one index at a time: nothing is stored, any
// position can be asked first, so resuming in the middle of an epoch costs nothing.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>

#include "core/error.h"
#include "core/random.h"

namespace hadal::data {

/// Where `index` goes under the shuffle named by `key`. A balanced Feistel network (Luby and
/// Rackoff 1988) permutes the next power of four; walking along its cycle until the value falls
/// below `count` restricts it to [0, count) (Black and Rogaway 2002). At most four steps on
/// average.
inline int64_t permuted(int64_t index, int64_t count, uint64_t key) {
    HADAL_ASSERT(index >= 0 && index < count);
    const int half = std::max(1, int(std::bit_width(uint64_t(count - 1)) + 1) / 2);
    const uint64_t mask = (uint64_t(1) << half) - 1;
    uint64_t value = uint64_t(index);
    do {
        uint64_t left = value >> half;
        uint64_t right = value & mask;
        for (uint64_t round = 0; round < 6; ++round) {
            const uint64_t next = left ^ (random_bits(key, round, right) & mask);
            left = right;
            right = next;
        }
        value = (left << half) | right;
    } while (value >= uint64_t(count));
    return int64_t(value);
}

}  // namespace hadal::data
