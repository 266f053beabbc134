// Kernels of ops/convert.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

template <Isa isa>
void widen(const bf16* x, float* y, int64_t n);
template <Isa isa>
void narrow(const float* x, bf16* y, int64_t n);

}  // namespace hadal::ops::cpu
