// From rows of tensors to the operand layouts of attention_block.h, and scratch memory cut into
// pieces.
#pragma once

#include "ops/cpu/attention_block.h"

namespace hadal::ops::cpu {
namespace {

/// Cuts a piece of memory; from nullptr it only measures.
class Carver {
  public:
    explicit Carver(void* memory) : memory_(static_cast<char*>(memory)) {}

    template <class E>
    E* take(int64_t count) {
        char* piece = memory_ == nullptr ? nullptr : memory_ + used_;
        used_ += round_up(count * int64_t(sizeof(E)), 64) + 64;
        return reinterpret_cast<E*>(piece);
    }
    int64_t used() const {
        return used_;
    }

  private:
    char* memory_;
    int64_t used_ = 0;
};

template <class E>
inline void fill_zero(E* values, int64_t count) {
    __builtin_memset(static_cast<void*>(values), 0, size_t(count) * sizeof(E));
}

// Rows are short (a head's channels): a call of memcpy for each would cost more than the copy.
inline void convert_values(const float* from, int64_t count, float* to) {
    for_each_vector<Lanes<float>>(count, [&](int64_t i, auto part) {
        store(to + i, Lanes<float>::load(from + i, part), part);
    });
}
inline void convert_values(const double* from, int64_t count, double* to) {
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
}
inline void convert_values(const bf16* from, int64_t count, bf16* to) {
#if defined(__AVX512BW__)
    for (int64_t i = 0; i < count; i += 32) {
        const __mmask32 mask = count - i < 32 ? (__mmask32(1) << (count - i)) - 1 : ~__mmask32(0);
        _mm512_mask_storeu_epi16(to + i, mask, _mm512_maskz_loadu_epi16(mask, from + i));
    }
#else
    for (int64_t i = 0; i < count; ++i) to[i] = from[i];
#endif
}
inline void convert_values(const bf16* from, int64_t count, float* to) {
    for_each_vector<Lanes<float>>(count, [&](int64_t i, auto part) {
        store(to + i, Lanes<float>::load(from + i, part), part);
    });
}

/// to = factor·from, rounded once.
template <class T, class S>
inline void store_scaled(const S* from, S factor, int64_t count, T* to) {
    using V = Lanes<S>;
    for_each_vector<V>(count, [&](int64_t i, auto part) {
        store(to + i, V::load(from + i, part) * V::all(factor), part);
    });
}

/// to[r][offset + i] = from[r][i]
template <class T>
inline void copy_rows(const T* from, int64_t from_stride, int64_t rows, int64_t width,
                      typename Numbers<T>::Packed* to, int64_t to_stride) {
    for (int64_t r = 0; r < rows; ++r) {
        convert_values(from + r * from_stride, width, to + r * to_stride);
    }
}

/// Zero in rows [rows, padded_rows) and in columns [width, to_stride) of the others.
template <class E>
inline void zero_padding(E* to, int64_t stride, int64_t rows, int64_t width, int64_t padded_rows) {
    if (width < stride) {
        for (int64_t r = 0; r < rows; ++r) fill_zero(to + r * stride + width, stride - width);
    }
    fill_zero(to + rows * stride, (padded_rows - rows) * stride);
}

/// What a transposition moves: one value, or a pair of bfloat16.
template <class T>
struct UnitType {
    using type = uint32_t;
};
template <>
struct UnitType<double> {
    using type = uint64_t;
};
template <class T>
using Unit = typename UnitType<T>::type;

/// One unit, whatever type of value lies there.
template <class U>
inline void copy_unit(const U* from, U* to) {
    __builtin_memcpy(to, from, sizeof(U));
}

#if defined(__AVX512F__)
/// 16 × 16 values of 32 bits.
inline void transpose_square(const uint32_t* from, int64_t from_stride, uint32_t* to,
                             int64_t to_stride) {
    __m512i a[16], b[16];
    for (int i = 0; i < 16; ++i) a[i] = _mm512_loadu_si512(from + i * from_stride);
    for (int i = 0; i < 8; ++i) {
        b[2 * i] = _mm512_unpacklo_epi32(a[2 * i], a[2 * i + 1]);
        b[2 * i + 1] = _mm512_unpackhi_epi32(a[2 * i], a[2 * i + 1]);
    }
    for (int i = 0; i < 4; ++i) {  // a[4i + j]: columns j, j + 4, j + 8, j + 12 of rows 4i … 4i + 3
        a[4 * i + 0] = _mm512_unpacklo_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 1] = _mm512_unpackhi_epi64(b[4 * i], b[4 * i + 2]);
        a[4 * i + 2] = _mm512_unpacklo_epi64(b[4 * i + 1], b[4 * i + 3]);
        a[4 * i + 3] = _mm512_unpackhi_epi64(b[4 * i + 1], b[4 * i + 3]);
    }
    for (int j = 0; j < 4; ++j) {
        b[0] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0x88);  // columns j, j + 8
        b[1] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0x88);
        b[2] = _mm512_shuffle_i32x4(a[j], a[4 + j], 0xDD);  // columns j + 4, j + 12
        b[3] = _mm512_shuffle_i32x4(a[8 + j], a[12 + j], 0xDD);
        _mm512_storeu_si512(to + (j + 0) * to_stride, _mm512_shuffle_i32x4(b[0], b[1], 0x88));
        _mm512_storeu_si512(to + (j + 8) * to_stride, _mm512_shuffle_i32x4(b[0], b[1], 0xDD));
        _mm512_storeu_si512(to + (j + 4) * to_stride, _mm512_shuffle_i32x4(b[2], b[3], 0x88));
        _mm512_storeu_si512(to + (j + 12) * to_stride, _mm512_shuffle_i32x4(b[2], b[3], 0xDD));
    }
}
#else
inline void transpose_square(const uint32_t* from, int64_t from_stride, uint32_t* to,
                             int64_t to_stride) {
    for (int j = 0; j < 16; ++j) {
        for (int i = 0; i < 16; ++i) copy_unit(from + i * from_stride + j, to + j * to_stride + i);
    }
}
#endif
inline void transpose_square(const uint64_t* from, int64_t from_stride, uint64_t* to,
                             int64_t to_stride) {
    for (int j = 0; j < 16; ++j) {
        for (int i = 0; i < 16; ++i) copy_unit(from + i * from_stride + j, to + j * to_stride + i);
    }
}

/// to[j][i] = from[i][j], strides in units; whole squares first, then the rest.
template <class U>
inline void transpose(const U* from, int64_t from_stride, int64_t rows, int64_t columns, U* to,
                      int64_t to_stride) {
    const int64_t square = rows % 16 == 0 ? columns / 16 * 16 : 0;
    for (int64_t i = 0; square > 0 && i < rows; i += 16) {
        for (int64_t j = 0; j < square; j += 16) {
            transpose_square(from + i * from_stride + j, from_stride, to + j * to_stride + i,
                             to_stride);
        }
    }
    for (int64_t j = square; j < columns; ++j) {
        for (int64_t i = 0; i < rows; ++i)
            copy_unit(from + i * from_stride + j, to + j * to_stride + i);
    }
}

/// b[k][n] = rows[n][k] for n < count (a multiple of kPanel) and k < depth: the right operand of
/// q·kᵀ.
template <class T>
inline void pack_transposed(const typename Numbers<T>::Packed* rows, int64_t stride, int64_t count,
                            int64_t depth, typename Numbers<T>::Packed* b) {
    constexpr int kPair = Numbers<T>::kPair;
    using U = Unit<T>;
    for (int64_t n = 0; n < count; n += kPanel) {
        transpose(reinterpret_cast<const U*>(rows + n * stride), stride / kPair, kPanel,
                  depth / kPair, reinterpret_cast<U*>(b + n * depth), kPanel);
    }
}

#if defined(__AVX512BF16__)
inline __m256i load_16(const bf16* from) {
    return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from));
}
/// even[0], odd[0], even[1], odd[1], …
inline void store_pairs(__m256i even, __m256i odd, bf16* to) {
    _mm512_storeu_si512(to, _mm512_or_si512(_mm512_cvtepu16_epi32(even),
                                            _mm512_slli_epi32(_mm512_cvtepu16_epi32(odd), 16)));
}
#endif

/// b[k][n] = rows[k][n] for k < count (a multiple of kPair) and n < columns (of kPanel), in panels
/// of `depth` k: the right operand of p·v. For rows that begin at k > 0, b is that much further on.
template <class T>
inline void pack_rows(const typename Numbers<T>::Packed* rows, int64_t stride, int64_t count,
                      int64_t columns, typename Numbers<T>::Packed* b, int64_t depth) {
    constexpr int kPair = Numbers<T>::kPair;
    for (int64_t n = 0; n < columns; n += kPanel) {
        auto* panel = b + n * depth;
        for (int64_t k = 0; k < count; k += kPair) {
            const auto* row = rows + k * stride + n;
#if defined(__AVX512BF16__)
            if constexpr (kPair == 2) {
                store_pairs(load_16(row), load_16(row + stride), panel + k * kPanel);
                continue;
            }
#endif
            for (int i = 0; i < kPanel; ++i) panel[k * kPanel + i] = row[i];
        }
    }
}

/// All rows of a block.
template <class T>
inline void pack_rows(const typename Numbers<T>::Packed* rows, int64_t stride, int64_t depth,
                      int64_t columns, typename Numbers<T>::Packed* b) {
    pack_rows<T>(rows, stride, depth, columns, b, depth);
}

/// The way back to a left operand: a[n][k] from panels of `depth`: the transpose of the rows that
/// were packed.
template <class T>
inline void unpack_transposed(const typename Numbers<T>::Packed* b, int64_t depth, int64_t columns,
                              typename Numbers<T>::Packed* a, int64_t a_stride) {
    constexpr int kPair = Numbers<T>::kPair;
    using U = Unit<T>;
    for (int64_t n = 0; n < columns; n += kPanel) {
        transpose(reinterpret_cast<const U*>(b + n * depth), kPanel, depth / kPair, kPanel,
                  reinterpret_cast<U*>(a + n * a_stride), a_stride / kPair);
    }
}

}  // namespace
}  // namespace hadal::ops::cpu
