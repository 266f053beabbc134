// Kernels of ops/silu_mul.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops::cpu {

template <class T>
struct SiluMulForward {
    const T* gate;  // [tokens, intermediate]
    int64_t gate_stride;
    const T* up;  // [tokens, intermediate]
    int64_t up_stride;
    const Statistic<T>* weight;  // [tokens], or null: 1
    T* product;                  // [tokens, intermediate]
    int64_t product_stride;
    int64_t intermediate;
};
template <Isa isa, class T>
void silu_mul_rows(const SiluMulForward<T>& a, int64_t begin, int64_t end);

template <class T>
struct SiluMulBackward {
    const T* d_product;  // [tokens, intermediate]
    int64_t d_product_stride;
    const T* gate;  // [tokens, intermediate]
    int64_t gate_stride;
    const T* up;  // [tokens, intermediate]
    int64_t up_stride;
    const Statistic<T>* weight;  // [tokens], or null: 1
    T* d_gate;                   // [tokens, intermediate]
    int64_t d_gate_stride;
    T* d_up;  // [tokens, intermediate]
    int64_t d_up_stride;
    Statistic<T>* d_weight;  // [tokens], null with weight
    int64_t intermediate;
    T* product = nullptr;  // [tokens, intermediate] as forward's, or null: not wanted
    int64_t product_stride = 0;
};
template <Isa isa, class T>
void silu_mul_backward_rows(const SiluMulBackward<T>& a, int64_t begin, int64_t end);

}  // namespace hadal::ops::cpu
