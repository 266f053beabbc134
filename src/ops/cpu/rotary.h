// Kernels of ops/rotary.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops::cpu {

/// Turns `heads` runs of rope_dim channels, head_dim apart, by one position's angles.
template <class T>
struct RotaryRow {
    T* x;  // first channel of head 0's pairs
    int64_t heads;
    int64_t head_dim;
    int64_t rope_dim;
    const Statistic<T>* cos_sin;  // [rope_dim]
    bool back;                    // the transposed rotation
};
template <Isa isa, class T>
void rotary_row(const RotaryRow<T>& a);

}  // namespace hadal::ops::cpu
