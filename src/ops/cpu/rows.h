// Rows of a matrix, as kernels are given them.
#pragma once

#include <cstdint>

namespace hadal::ops::cpu {

/// A row may be longer than what is read.
template <class E>
struct Rows {
    E* data;
    int64_t stride;  // elements from one row to the next
    E* at(int64_t row, int64_t column = 0) const {
        return data + row * stride + column;
    }
};

}  // namespace hadal::ops::cpu
