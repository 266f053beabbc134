// How the memory of activations is obtained, so that the same declaration of shapes serves training
// (owned tensors), generation (workspace) and planning (counting bytes without any memory).
#pragma once

#include <functional>
#include <span>
#include <string_view>

#include "core/tensor.h"

namespace hadal::model {

/// Gives memory for one activation: Tensor::uninitialized, Workspace::take, or a counter. The name
/// is for lists of what a pass keeps ("q_a", "kv"): the same for every layer.
using Allocate = std::function<Tensor(std::string_view name, Shape shape, DType dtype)>;

/// Memory that lives as long as the tensor: for training and scoring.
inline Tensor owned(std::string_view, Shape shape, DType dtype) {
    return Tensor::uninitialized(shape, dtype);
}

/// Where a layer's activations go. What backward can compute again from what is kept (report
/// §3.2.3) may go to memory that one layer after the other uses; Layer::recompute fills it again.
struct ActivationMemory {
    Allocate kept;
    Allocate recomputed;  // the same as `kept` where nothing is computed again
};

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
