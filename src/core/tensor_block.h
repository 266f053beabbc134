// Many tensors side by side in one piece of memory. A model has thousands of small parameters; in
// pages of their own each needs its own address translations, together they fit a few large pages.
#pragma once

#include "core/tensor.h"

namespace hadal {

class TensorBlock {
  public:
    /// Uninitialized memory for tensors of one type whose room() sums to `elements`.
    TensorBlock(int64_t elements, DType dtype) : all_(Tensor::uninitialized({elements}, dtype)) {}

    /// Elements that a tensor of this shape takes: each tensor begins on a cache line.
    static int64_t room(const Shape& shape) {
        constexpr int64_t kLine = 64;  // elements, a whole number of lines for every type
        return (shape.count() + kLine - 1) / kLine * kLine;
    }

    /// The next tensor. It keeps the whole block alive.
    Tensor take(const Shape& shape) {
        const Tensor tensor = all_.rows(next_, shape.count()).reshaped(shape);
        next_ += room(shape);
        return tensor;
    }

    void fill_zero() {
        all_.fill_zero();
    }

  private:
    Tensor all_;  // [elements]
    int64_t next_ = 0;
};

}  // namespace hadal
