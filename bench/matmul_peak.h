// What the processor can do at most: multiply-adds on registers alone, and reading memory.
#pragma once

#include <cstddef>
#include <span>

#include "core/isa.h"

namespace hadal::bench {

/// Multiplies and adds (2 a pair) of one thread's loop that touches no memory; `operations`
/// receives their number. f32 fused multiply-add of the set's width.
void spin_f32(Isa isa, double& operations);
/// bf16 products: AMX tiles, AVX-512 dot products of pairs; sets that have neither multiply in f32.
void spin_bf16(Isa isa, double& operations);
/// Reads every byte once; the result keeps the loads alive.
long read_all(std::span<const std::byte> bytes);

}  // namespace hadal::bench
