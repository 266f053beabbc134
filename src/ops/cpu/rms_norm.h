// Kernels of ops/rms_norm.cpp.
#pragma once

#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/statistic.h"

namespace hadal::ops::cpu {

template <class T>
struct RmsNormForward {
    const T* x;  // [tokens, hidden]
    int64_t x_stride;
    const T* w;  // [hidden]
    double epsilon;
    T* y;  // [tokens, hidden]
    int64_t y_stride;
    Statistic<T>* r;  // [tokens]
    int64_t hidden;
};
template <Isa isa, class T>
void rms_norm_rows(const RmsNormForward<T>& a, int64_t begin, int64_t end);

template <class T>
struct RmsNormBackward {
    const T* dy;  // [tokens, hidden]
    int64_t dy_stride;
    const T* x;  // [tokens, hidden]
    int64_t x_stride;
    const T* w;             // [hidden]; unused for the weight's gradient
    const Statistic<T>* r;  // [tokens]
    int64_t hidden;
};
template <Isa isa, class T>
void rms_norm_backward_input_rows(const RmsNormBackward<T>& a, bool add, T* dx, int64_t dx_stride,
                                  int64_t begin, int64_t end);

/// partial[i] = Σ_{t = begin}^{end − 1} dy[t,i]·x[t,i]·r[t], tokens in rising order.
template <Isa isa, class T>
void rms_norm_weight_chunk(const RmsNormBackward<T>& a, int64_t begin, int64_t end,
                           Statistic<T>* partial);

}  // namespace hadal::ops::cpu
