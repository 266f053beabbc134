// Kernels of ops/embedding.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops::cpu {

/// d_table[ids[t], begin … end) += dy[t, begin … end) for t = 0, 1, …
template <class T>
struct EmbeddingGradient {
    const int32_t* ids;  // [tokens]
    int64_t tokens;
    const T* dy;  // [tokens, hidden]
    int64_t dy_stride;
    Statistic<T>* d_table;  // [vocab, hidden]
    int64_t d_table_stride;
};
template <Isa isa, class T>
void embedding_backward_columns(const EmbeddingGradient<T>& a, int64_t begin, int64_t end);

}  // namespace hadal::ops::cpu
