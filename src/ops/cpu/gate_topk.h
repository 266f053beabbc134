// Kernels of ops/gate_topk.cpp: the arithmetic of the scores. The choice is in gate_topk.cpp. L is
// float or double.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

template <Isa isa, class L>
void gate_sigmoid(const L* logits, int64_t experts, L* scores);
template <Isa isa, class L>
void gate_softmax(const L* logits, int64_t experts, L* scores);

/// d_logits may be d_scores.
template <Isa isa, class L>
void gate_sigmoid_backward(const L* d_scores, const L* scores, int64_t experts, L* d_logits);
template <Isa isa, class L>
void gate_softmax_backward(const L* d_scores, const L* scores, int64_t experts, L* d_logits);

}  // namespace hadal::ops::cpu
