// Kernels of ops/reduce.cpp, over a run of n values.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

/// Σ x²: each square and the sum in double.
template <Isa isa, class T>
double sum_of_squares(const T* x, int64_t n);

template <Isa isa, class T>
bool all_finite(const T* x, int64_t n);

/// y += x
template <Isa isa, class T>
void add_to(const T* x, T* y, int64_t n);

}  // namespace hadal::ops::cpu
