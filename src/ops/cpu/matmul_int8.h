// What the kernels of ops/matmul_int8.h are given: one product, and a rectangle of its result.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/matmul.h"

namespace hadal::ops::cpu {

/// y[t, i] (+)= Σ_b s[t, b] · Σ_{g in b} scale[i, g] · Σ_{j in g} (code[i, j] − bias)·a[t, j]
struct Int8Product {
    const int8_t* x;  // [tokens, in]
    int64_t x_stride;
    const float* x_scale;  // [tokens, ⌈in / 128⌉]
    int64_t x_scale_stride;
    const uint8_t* w;  // [out, in·bits / 8]; of two codes in a byte the first has the lower bits
    int64_t w_stride;
    const bf16* w_scale;  // [out, in / 32]
    int64_t w_scale_stride;
    int64_t bits;  // 4 or 8
    void* y;       // [tokens, out]
    int64_t y_stride;
    bool add;  // adds to what y holds, rounding once
    int64_t tokens;
    int64_t out;
    int64_t in;
};

/// One thread's memory.
struct Int8Scratch {
    std::byte* memory = nullptr;  // aligned to 64 bytes, as many as the kernel's limits say
    const Int8Product* next_product =
        nullptr;  // what this thread will probably be given next: worth fetching
    MatmulTile next_tile{};
};

/// Tiles are of the weight's rows (m) by tokens (n): the weight is what is large.
template <Isa isa>
MatmulLimits matmul_int8_limits(const Int8Product& product);
template <Isa isa, class Out>
void matmul_int8_tile(const Int8Product& product, const MatmulTile& tile, Int8Scratch& scratch);

/// One row of activations in tiles of 128.
template <Isa isa>
void quantize_row_int8(const bf16* x, int64_t columns, int8_t* codes, float* scale);

}  // namespace hadal::ops::cpu
