// What the matrix-product kernels are given by ops/matmul.cpp: one product in a form that no longer
// knows which operand was stored transposed, and a rectangle of its result to compute.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"

namespace hadal::ops::cpu {

/// An operand seen as [free, k]: its own dimension by the summed one.
struct MatmulOperand {
    const void* data;
    int64_t stride;     // elements from one stored row to the next
    bool k_contiguous;  // stored [free, k]; otherwise stored [k, free]
    /// Not null: a weight in INT4, k contiguous. Data are int32 words of eight codes, stride counts
    /// them; the scales of groups of 32 are bf16 [free, k / 32].
    const bf16* scale = nullptr;
    int64_t scale_stride = 0;
};

/// c[m, n] (+)= Σ_k a[m, k]·b[n, k]
struct MatmulProduct {
    MatmulOperand a;
    MatmulOperand b;
    void* c;
    int64_t c_stride;
    bool c_transposed;  // stored [n, m]: the operands were exchanged to stream the larger one
    bool add;           // adds to what c holds, rounding once
    int64_t m;
    int64_t n;
    int64_t k;
};

/// A rectangle of c.
struct MatmulTile {
    int64_t m_begin;
    int64_t m_count;
    int64_t n_begin;
    int64_t n_count;
};

/// One thread's memory. The kernel remembers whose columns it packed last: the next tile may use
/// them again.
struct MatmulScratch {
    std::byte* memory = nullptr;  // aligned to 64 bytes, as many as the kernel's limits say
    const MatmulProduct* packed_product = nullptr;
    int64_t packed_begin = 0;
    int64_t packed_count = 0;
    const MatmulProduct* next_product =
        nullptr;  // what this thread will probably be given next: worth fetching
    MatmulTile next_tile{};
};

/// What a kernel wants of the plan that cuts results into tiles.
struct MatmulLimits {
    int64_t m_step;  // tiles begin at multiples of it
    int64_t n_step;
    int64_t m_most;  // no tile is larger
    int64_t n_most;
    double least_cost;  // of a tile, in multiply-adds: less is not worth another thread
    int64_t bytes;      // scratch of one thread
};

/// Plain loops, each element summed from k = 0 upwards: for f64, where only gradients are checked.
template <class In, class Out>
void matmul_plain(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch&);

/// Vector registers: bf16 as pairs where the set has a dot product of them, otherwise widened to
/// f32.
template <Isa isa, class In>
MatmulLimits matmul_limits(const MatmulProduct& product);
template <Isa isa, class In, class Out>
void matmul_tile(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch& scratch);

/// AMX tile registers, bf16 only.
MatmulLimits matmul_amx_limits(const MatmulProduct& product);
template <class Out>
void matmul_amx_tile(const MatmulProduct& product, const MatmulTile& tile, MatmulScratch& scratch);

/// The same where a is an INT4 weight and b few rows of x: what the two above pass on.
MatmulLimits matmul_int4_amx_limits();
template <class Out>
void matmul_int4_amx_tile(const MatmulProduct& product, const MatmulTile& tile,
                          MatmulScratch& scratch);

/// The same where a has few rows and b is stored [k, n], if they fit.
bool matmul_few_amx_fits(const MatmulProduct& product);
template <class Out>
void matmul_few_amx_tile(const MatmulProduct& product, const MatmulTile& tile);

}  // namespace hadal::ops::cpu
