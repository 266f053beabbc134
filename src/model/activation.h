// How the memory of activations is obtained, so that the same declaration of shapes serves training
// (owned tensors), generation (workspace) and planning (counting bytes without any memory).
#pragma once

#include <functional>
#include <span>

#include "core/tensor.h"

namespace hadal::model {

/// Gives memory for one activation: Tensor::uninitialized, Workspace::take, or a counter.
using Allocate = std::function<Tensor(Shape shape, DType dtype)>;

/// Memory that lives as long as the tensor: for training and scoring.
inline Tensor owned(Shape shape, DType dtype) {
    return Tensor::uninitialized(shape, dtype);
}

/// float32 for statistics of bf16 and f32 models, f64 for f64 models (gradient checks).
constexpr DType statistics_dtype(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

/// How a batch's rows form sequences, and the balance loss's weights, which every layer's backward
/// needs.
struct SequenceLayout {
    std::span<const int64_t> starts;  // begin of each sequence, then the number of tokens
    const Tensor& positions;          // [tokens] i32
    const Tensor& cos_sin;            // [positions, qk_rope_head_dim] f32
    double balance_alpha = 0;         // α of eq. 17
    double balance_scale = 1;         // weight of one sequence
};

}  // namespace hadal::model
