// Kernels of ops/permute.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

template <class T>
struct CombineRows {
    const T* rows;  // [tokens·top_k, hidden]
    int64_t rows_stride;
    const int32_t* slot_row;  // [tokens, top_k]
    int64_t top_k;
    bool add;
    T* y;  // [tokens, hidden]
    int64_t y_stride;
    int64_t hidden;
};
template <Isa isa, class T>
void combine_rows(const CombineRows<T>& a, int64_t begin, int64_t end);

}  // namespace hadal::ops::cpu
