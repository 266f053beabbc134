// Kernels of ops/random_normal.cpp.
#pragma once

#include <cstdint>

#include "core/isa.h"

namespace hadal::ops::cpu {

/// Numbers are made in blocks of so many, whatever the instruction set.
constexpr int64_t kNormalBlock = 64;

/// z[i] for the kNormalBlock positions i of a block.
template <Isa isa>
void normal_block(uint64_t seed, uint64_t stream, uint64_t block, float* z);

}  // namespace hadal::ops::cpu
