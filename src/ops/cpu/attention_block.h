// Small matrix products on operands that lie in the first two cache levels: what the attention
// kernels are made of.
//
// c[m, n] (+)= Σ_k a[m, k]·b[k, n], each element summed in rising k whatever the other sizes are: a
// row's bits depend on nothing but its own operands. Layouts:
//   a  row-major, k padded with zeros to a multiple of kDepth, rows padded to a multiple of kRows
//   b  panels of 16 columns, [n/16][k/kPair][16][kPair]: kPair adjacent k side by side, as the bf16
//   dot instructions
//      and the tiles of AMX want them; a tile is one contiguous KiB
//   c  row-major, sums
// bf16 is multiplied in pairs where the machine can (avx512, amx), else widened to float while it
// is packed.
#pragma once

#include "ops/cpu/simd.h"

namespace hadal::ops::cpu {
namespace {

constexpr Isa kIsa = Isa::HADAL_THIS_ISA;
constexpr int kPanel = 16;

/// Sums of type S (float or double), as many as a register holds.
template <class S>
using Lanes = Vector<kIsa, S>;
template <class S>
constexpr int kLanes = int(Lanes<S>::kLanes);

constexpr int64_t round_up(int64_t value, int64_t step) {
    return (value + step - 1) / step * step;
}

/// How values of type T are multiplied here.
template <class T>
struct Numbers {
    using Packed = T;
    using Sum = T;
    static constexpr int kPair = 1;
    static constexpr int kDepth = 1;
    static constexpr int kRows = 1;
};
template <>
struct Numbers<bf16> {
    static constexpr bool kDots = kIsa >= Isa::avx512;
    template <bool dots, class = void>
    struct Pick {
        using type = float;
    };
    template <class Unused>
    struct Pick<true, Unused> {
        using type = bf16;
    };
    using Packed = typename Pick<kDots>::type;
    using Sum = float;
    static constexpr int kPair = kDots ? 2 : 1;
    static constexpr int kDepth = kIsa == Isa::amx ? 32 : kPair;
    static constexpr int kRows = kIsa == Isa::amx ? 16 : 1;
};

/// Columns of a row buffer: whole panels and whole steps of k.
template <class T>
constexpr int64_t padded_width(int64_t width) {
    return round_up(width, Numbers<T>::kDepth > kPanel ? Numbers<T>::kDepth : kPanel);
}

// ----------------------------------------------------------------------------------------------
// the register tiles

template <class T>
struct Operand {  // kLanes<Sum> columns of one k (or one pair of k)
    using Sum = typename Numbers<T>::Sum;
    using Packed = typename Numbers<T>::Packed;
    using type = Lanes<Sum>;
    static type columns(const Packed* from) {
        return type::load(from, Whole{});
    }
    static type broadcast(const Packed* from) {
        return type::all(*from);
    }
    static type add_product(type a, type b, type sum) {
        return fma(a, b, sum);
    }
};

#if defined(__AVX512BF16__)
template <>
struct Operand<bf16> {
    using type = __m512i;
    static type columns(const bf16* from) {
        return _mm512_loadu_si512(from);
    }
    static type broadcast(const bf16* from) {
        int32_t pair;
        __builtin_memcpy(&pair, from, 4);
        return _mm512_set1_epi32(pair);
    }
    static Lanes<float> add_product(type a, type b, Lanes<float> sum) {
        return {_mm512_dpbf16_ps(sum.v, __m512bh(a), __m512bh(b))};
    }
};
#endif

template <class T>
struct ProductOperands {
    const typename Numbers<T>::Packed* a;
    int64_t a_stride;
    const typename Numbers<T>::Packed* b;
    int64_t b_stride;  // elements from one panel to the next
    typename Numbers<T>::Sum* c;
    int64_t c_stride;
};

/// `rows` × 16·`panels` results in registers.
template <class T, int rows, int panels>
inline void multiply_tile(const ProductOperands<T>& p, int64_t depth, bool add) {
    const auto [a, a_stride, b, b_stride, c, c_stride] = p;
    using S = typename Numbers<T>::Sum;
    using Op = Operand<T>;
    constexpr int kPair = Numbers<T>::kPair;
    constexpr int kEach = kPanel / kLanes<S>;  // vectors of a panel
    Lanes<S> sum[rows][panels * kEach];
    for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < panels * kEach; ++v) {
            sum[r][v] =
                add ? Lanes<S>::load(c + r * c_stride + v * kLanes<S>, Whole{}) : Lanes<S>::all(0);
        }
    }
    for (int64_t k = 0; k < depth; k += kPair) {
        typename Op::type right[panels * kEach];
        for (int v = 0; v < panels * kEach; ++v) {
            right[v] = Op::columns(b + (v / kEach) * b_stride + k * kPanel +
                                   (v % kEach) * kLanes<S> * kPair);
        }
        for (int r = 0; r < rows; ++r) {
            const typename Op::type left = Op::broadcast(a + r * a_stride + k);
            for (int v = 0; v < panels * kEach; ++v) {
                sum[r][v] = Op::add_product(left, right[v], sum[r][v]);
            }
        }
    }
    for (int r = 0; r < rows; ++r) {
        for (int v = 0; v < panels * kEach; ++v) {
            store(c + r * c_stride + v * kLanes<S>, sum[r][v], Whole{});
        }
    }
}

#if defined(__AMX_BF16__)
struct alignas(64) TileShapes {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t row_bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {16, 16, 16, 16, 16, 16, 16, 16};
};

/// Tiles 0–3 hold up to 2 × 2 results of 16 × 16, 4–5 rows of a, 6–7 panels of b.
template <int rows, int panels>
inline void multiply_amx(const ProductOperands<bf16>& p, int64_t depth, bool add) {
    const auto [a, a_stride, b, b_stride, c, c_stride] = p;
    const int64_t c_bytes = c_stride * 4;
    if (add) {
        _tile_loadd(0, c, c_bytes);
        if constexpr (panels > 1) _tile_loadd(1, c + kPanel, c_bytes);
        if constexpr (rows > 1) _tile_loadd(2, c + 16 * c_stride, c_bytes);
        if constexpr (rows > 1 && panels > 1) _tile_loadd(3, c + 16 * c_stride + kPanel, c_bytes);
    } else {
        _tile_zero(0);
        if constexpr (panels > 1) _tile_zero(1);
        if constexpr (rows > 1) _tile_zero(2);
        if constexpr (rows > 1 && panels > 1) _tile_zero(3);
    }
    for (int64_t k = 0; k < depth; k += 32) {
        _tile_loadd(4, a + k, a_stride * 2);
        _tile_loadd(6, b + k * kPanel, 64);
        _tile_dpbf16ps(0, 4, 6);
        if constexpr (panels > 1) {
            _tile_loadd(7, b + b_stride + k * kPanel, 64);
            _tile_dpbf16ps(1, 4, 7);
        }
        if constexpr (rows > 1) {
            _tile_loadd(5, a + 16 * a_stride + k, a_stride * 2);
            _tile_dpbf16ps(2, 5, 6);
            if constexpr (panels > 1) _tile_dpbf16ps(3, 5, 7);
        }
    }
    _tile_stored(0, c, c_bytes);
    if constexpr (panels > 1) _tile_stored(1, c + kPanel, c_bytes);
    if constexpr (rows > 1) _tile_stored(2, c + 16 * c_stride, c_bytes);
    if constexpr (rows > 1 && panels > 1) _tile_stored(3, c + 16 * c_stride + kPanel, c_bytes);
}
#endif

/// A thread holds one of these while it multiplies: it owns the tile registers' shape.
struct TileScope {
    TileScope() {
#if defined(__AMX_BF16__)
        const TileShapes shapes;
        __asm__ volatile(""
                         :
                         : "r"(&shapes)
                         : "memory");  // the intrinsic does not say that it reads
        _tile_loadconfig(&shapes);
#endif
    }
    ~TileScope() {
#if defined(__AMX_BF16__)
        _tile_release();
#endif
    }
    TileScope(const TileScope&) = delete;
    TileScope& operator=(const TileScope&) = delete;
};

template <class T, int rows, int panels>
inline void multiply_at(const ProductOperands<T>& p, int64_t row, int64_t panel, int64_t depth,
                        bool add) {
    const ProductOperands<T> tile = {p.a + row * p.a_stride,
                                     p.a_stride,
                                     p.b + panel * p.b_stride,
                                     p.b_stride,
                                     p.c + row * p.c_stride + panel * kPanel,
                                     p.c_stride};
#if defined(__AMX_BF16__)
    if constexpr (Numbers<T>::kRows == 16) {
        return multiply_amx<rows, panels>(tile, depth, add);
    }
#endif
    multiply_tile<T, rows, panels>(tile, depth, add);
}

/// All rows of one or two panels.
template <class T, int panels>
inline void multiply_panels(const ProductOperands<T>& p, int64_t panel, int64_t rows, int64_t depth,
                            bool add) {
    int64_t row = 0;
    if constexpr (Numbers<T>::kRows == 16) {
        for (; row + 32 <= rows; row += 32) multiply_at<T, 2, panels>(p, row, panel, depth, add);
        if (row < rows) multiply_at<T, 1, panels>(p, row, panel, depth, add);
    } else {
        // 16 sums in flight hide the latency of the multipliers; registers are 32 (avx512) or 16.
        // double is one lane.
        constexpr int kVectors = panels * kPanel / kLanes<typename Numbers<T>::Sum>;
        constexpr int kMost = kVectors > 4          ? 1
                              : kIsa >= Isa::avx512 ? 16 / kVectors
                              : kIsa == Isa::avx2   ? 4
                                                    : 2;
        for (; row + kMost <= rows; row += kMost) {
            multiply_at<T, kMost, panels>(p, row, panel, depth, add);
        }
        if constexpr (kMost > 4) {
            for (; row + 4 <= rows; row += 4) multiply_at<T, 4, panels>(p, row, panel, depth, add);
        }
        for (; row < rows; ++row) multiply_at<T, 1, panels>(p, row, panel, depth, add);
    }
}

/// c (+)= a·b. rows a multiple of kRows, columns of kPanel, depth of kDepth.
template <class T>
__attribute__((noinline)) void multiply(const ProductOperands<T>& p, int64_t rows, int64_t columns,
                                        int64_t depth, bool add) {
    __asm__ volatile("" : : : "memory");  // the tile intrinsics do not say which memory they read
    constexpr int kPanels = kIsa >= Isa::avx512 ? 2 : 1;
    int64_t panel = 0;
    for (; (panel + kPanels) * kPanel <= columns; panel += kPanels) {
        multiply_panels<T, kPanels>(p, panel, rows, depth, add);
    }
    if (panel * kPanel < columns) multiply_panels<T, 1>(p, panel, rows, depth, add);
}

}  // namespace
}  // namespace hadal::ops::cpu
