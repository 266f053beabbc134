// FP8 products as bf16 products of 128 values of k, one block after another: the codes of a tile
// are decoded to bf16, matmul_tile multiplies them, and the sums are scaled and added to the
// totals.
//
// Where a bf16 product runs at 64 or fewer multiply-adds a cycle (all sets without tiles), a block
// costs an element 4 cycles or more and the promotion a quarter of one: there is nothing to
// overlap. What a tile reads of operands is one byte a value.
#include "ops/cpu/matmul_fp8.h"

#if !defined(__AMX_TILE__)  // tiles have a kernel of their own

#include "ops/cpu/matmul_store.h"
#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kMostSide = 256;  // of a tile: totals and sums, 512 KiB, stay in L2

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/// What a tile needs: in the order of the scratch memory.
struct Buffers {
    float totals[kMostSide * kMostSide];
    float sums[kMostSide * kMostSide];
    bf16 a[kMostSide * kMostBlock];  // [free][k] or [k][free], as it is stored
    bf16 b[kMostSide * kMostBlock];
    float a_scales[kMostSide];
    float b_scales[kMostSide];
};

void fetch(const std::byte* data, int64_t bytes) {
    for (int64_t i = 0; i < bytes; i += 64) __builtin_prefetch(data + i, 0, 2);
}

/// The operand's values in [begin, begin + count) × [k, k + k_count) as bf16 in `to`.
MatmulOperand decode(const Fp8Operand& x, int64_t begin, int64_t count, int64_t k, int64_t k_count,
                     bf16* to) {
    const int64_t width = x.code == Code::bf16 ? 2 : 1;
    const int64_t rows = x.k_contiguous ? count : k_count;
    const int64_t columns = x.k_contiguous ? k_count : count;
    const int64_t stride = x.k_contiguous ? kMostBlock : kMostSide;
    const int64_t first = x.k_contiguous ? begin * x.stride + k : k * x.stride + begin;
    const auto* from = static_cast<const std::byte*>(x.data) + first * width;
    for (int64_t i = 0; i < rows; ++i) {
        const std::byte* row = from + i * x.stride * width;
        // The same row's next block of k: too far from this one for the processor to guess.
        if (x.k_contiguous) fetch(row + columns * width, columns * width);
        decode_row(x.code, row, columns, to + i * stride);
    }
    return {to, stride, x.k_contiguous};
}

/// totals += a_scale · b_scale · sums
template <Isa isa>
void promote(const MatmulTile& tile, Buffers& buffers) {
    using V = Floats<isa>;
    for (int64_t m = 0; m < tile.m_count; ++m) {
        float* totals = buffers.totals + m * kMostSide;
        const float* sums = buffers.sums + m * kMostSide;
        const V a_scale = V::all(buffers.a_scales[m]);
        for_each_vector<V>(tile.n_count, [&](int64_t n, auto part) {
            const V scale = a_scale * V::load(buffers.b_scales + n, part);
            const V total = fma(V::load(sums + n, part), scale, V::load(totals + n, part));
            store(totals + n, total, part);
        });
    }
}

template <class Out>
void store_totals(const Fp8Product& product, const MatmulTile& tile, const float* totals) {
    for (int64_t m = 0; m < tile.m_count; ++m, totals += kMostSide) {
        Out* c =
            static_cast<Out*>(product.c) + (tile.m_begin + m) * product.c_stride + tile.n_begin;
        for (int64_t n = 0; n < tile.n_count; ++n) {
            narrow(product.add ? totals[n] + widen(c[n]) : totals[n], c[n]);
        }
    }
}

}  // namespace

template <Isa isa>
MatmulLimits matmul_fp8_limits(const Fp8Product&) {
    MatmulLimits limits = matmul_limits<isa, bf16>({});
    limits.m_most = least(limits.m_most, kMostSide) / limits.m_step * limits.m_step;
    limits.n_most = least(limits.n_most, kMostSide);
    limits.bytes += int64_t(sizeof(Buffers));
    return limits;
}

template <Isa isa, class Out>
void matmul_fp8_tile(const Fp8Product& product, const MatmulTile& tile, Fp8Scratch& scratch) {
    auto& buffers = *reinterpret_cast<Buffers*>(scratch.memory);
    MatmulScratch inner{.memory = scratch.memory + sizeof(Buffers)};
    for (int64_t m = 0; m < tile.m_count; ++m) {
        __builtin_memset(buffers.totals + m * kMostSide, 0, size_t(tile.n_count) * 4);
    }
    for (int64_t k = 0; k < product.k; k += product.block) {
        const int64_t count = least(product.block, product.k - k);
        const MatmulProduct part = {
            .a = decode(product.a, tile.m_begin, tile.m_count, k, count, buffers.a),
            .b = decode(product.b, tile.n_begin, tile.n_count, k, count, buffers.b),
            .c = buffers.sums,
            .c_stride = kMostSide,
            .c_transposed = false,
            .add = false,
            .m = tile.m_count,
            .n = tile.n_count,
            .k = count};
        matmul_tile<isa, bf16, float>(part, {0, tile.m_count, 0, tile.n_count}, inner);
        expand_scales(product.a.scales, tile.m_begin, tile.m_count, k, buffers.a_scales);
        expand_scales(product.b.scales, tile.n_begin, tile.n_count, k, buffers.b_scales);
        promote<isa>(tile, buffers);
    }
    store_totals<Out>(product, tile, buffers.totals);
}

constexpr Isa kThisIsa = Isa::HADAL_THIS_ISA;
template MatmulLimits matmul_fp8_limits<kThisIsa>(const Fp8Product&);
template void matmul_fp8_tile<kThisIsa, bf16>(const Fp8Product&, const MatmulTile&, Fp8Scratch&);
template void matmul_fp8_tile<kThisIsa, float>(const Fp8Product&, const MatmulTile&, Fp8Scratch&);

}  // namespace hadal::ops::cpu

#endif
