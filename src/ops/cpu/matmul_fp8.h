// What the FP8 product kernels are given by ops/matmul_fp8.cpp: as cpu/matmul.h, with codes for
// values and a scale for each tile of them.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/float8.h"
#include "ops/cpu/matmul.h"

namespace hadal::ops::cpu {

/// scale of (free, k) = data[free / free_tile · free_stride + k / k_tile · k_stride]
struct Fp8Scales {
    const float* data = nullptr;  // null: all are 1
    int64_t free_stride = 0;
    int64_t k_stride = 0;
    int64_t free_tile = 1;
    int64_t k_tile = 1;

    float at(int64_t free, int64_t k) const {
        return data == nullptr ? 1 : data[free / free_tile * free_stride + k / k_tile * k_stride];
    }
};

/// An operand seen as [free, k].
struct Fp8Operand {
    const void* data;
    int64_t stride;     // elements from one stored row to the next
    bool k_contiguous;  // stored [free, k]; otherwise stored [k, free]
    Code code;
    Fp8Scales scales;
};

/// c[m, n] (+)= Σ_b s_a[m, b]·s_b[n, b]·Σ_{k in b} a[m, k]·b[n, k], blocks of `block` values of k.
struct Fp8Product {
    Fp8Operand a;
    Fp8Operand b;
    void* c;
    int64_t c_stride;
    bool c_transposed;  // stored [n, m]: the operands were exchanged to stream the larger one
    bool add;           // adds to what c holds, rounding once
    int64_t m;
    int64_t n;
    int64_t k;
    int64_t block;
};

/// The longest block of k.
inline constexpr int64_t kMostBlock = 128;

/// One thread's memory. The kernel remembers whose columns it decoded last: the next tile may use
/// them again.
struct Fp8Scratch {
    std::byte* memory = nullptr;  // aligned to 64 bytes, as many as the kernel's limits say
    const Fp8Product* packed_product = nullptr;
    int64_t packed_begin = 0;
    int64_t packed_count = 0;
};

/// Vector registers: one block of k after another, codes to bf16, their product by matmul_tile,
/// then the promotion.
template <Isa isa>
MatmulLimits matmul_fp8_limits(const Fp8Product& product);
template <Isa isa, class Out>
void matmul_fp8_tile(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch);

/// AMX tile registers.
MatmulLimits matmul_fp8_amx_limits(const Fp8Product& product);
template <class Out>
void matmul_fp8_amx_tile(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch);

namespace {

/// The scales of rows begin … begin + count − 1 in the block at k.
[[maybe_unused]] inline void expand_scales(const Fp8Scales& scales, int64_t begin, int64_t count,
                                           int64_t k, float* to) {
    if (scales.data == nullptr) {
        for (int64_t i = 0; i < count; ++i) to[i] = 1;
        return;
    }
    const float* of_block = scales.data + k / scales.k_tile * scales.k_stride;
    if (scales.free_tile == 1) {
        for (int64_t i = 0; i < count; ++i) to[i] = of_block[(begin + i) * scales.free_stride];
        return;
    }
    for (int64_t i = 0; i < count;) {  // from one edge of a tile to the next
        const int64_t tile = (begin + i) / scales.free_tile;
        const float scale = of_block[tile * scales.free_stride];
        for (; i < count && begin + i < (tile + 1) * scales.free_tile; ++i) to[i] = scale;
    }
}

}  // namespace
}  // namespace hadal::ops::cpu
