// Integer products on AVX2: eight rows of the weight side by side. Included by matmul_int8.cpp
// only.
//
// A register holds two groups, one in each 128-bit lane, in two registers of bytes: even and odd
// weights of INT4, or the halves of a group in INT8. VPMADDUBSW saturates sums of two products at
// 2¹⁵, which INT4 (at most 2·15·127) never reaches; for INT8 it is given |w| ≤ 128 and a with the
// sign of w, 2·128·127 = 32512. Four rows are added up by a transposition to [group][row].
#pragma once

#include <immintrin.h>

#include "ops/cpu/matmul_int8_few.h"

namespace hadal::ops::cpu {
namespace {

template <int kBits>
void pack_token(const int8_t* x, int64_t in, PackedTile* to) {
    for (int64_t i = 0; i < in; i += 128, ++to) {
        const int64_t count = in - i < 128 ? in - i : 128;
        alignas(32) int8_t codes[4][2][16] = {};  // [group][half]
        alignas(32) int32_t start[4][4] = {};
        for (int64_t j = 0; j < count; j += 32) {
            int32_t sum = 0;
            for (int64_t k = 0; k < 32; ++k) {
                const int64_t half = kBits == 4 ? k % 2 : k / 16;
                codes[j / 32][half][kBits == 4 ? k / 2 : k % 16] = x[i + j + k];
                sum += x[i + j + k];
            }
            for (int32_t& word : start[j / 32]) word = -8 * sum;
        }
        for (int pair = 0; pair < 2; ++pair) {
            for (int half = 0; half < 2; ++half) {
                to->codes[pair][half] =
                    _mm256_loadu2_m128i(reinterpret_cast<const __m128i*>(codes[2 * pair + 1][half]),
                                        reinterpret_cast<const __m128i*>(codes[2 * pair][half]));
            }
            to->start[pair] = _mm256_load_si256(reinterpret_cast<const __m256i*>(start[2 * pair]));
        }
    }
}

/// Two groups of a row as bytes, and what VPMADDUBSW is to multiply them by for a token.
template <int kBits>
struct TwoGroups {
    __m256i codes[2];      // [half]: INT4 unsigned, INT8 signed
    __m256i magnitude[2];  // of INT8

    explicit TwoGroups(const uint8_t* w) {
        if constexpr (kBits == 4) {
            const __m256i low_bits = _mm256_set1_epi8(15);
            const __m256i pairs = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(w));
            codes[0] = _mm256_and_si256(pairs, low_bits);
            codes[1] = _mm256_and_si256(_mm256_srli_epi16(pairs, 4), low_bits);
        } else {
            for (int half = 0; half < 2; ++half) {
                const auto* from = reinterpret_cast<const __m128i*>(w + 16 * half);
                codes[half] = _mm256_xor_si256(_mm256_loadu2_m128i(from + 2, from),
                                               _mm256_set1_epi8(char(-128)));
                magnitude[half] = _mm256_abs_epi8(codes[half]);
            }
        }
    }

    /// Four sums for each group.
    __m256i dot(const __m256i (&x)[2]) const {
        const __m256i ones = _mm256_set1_epi16(1);
        if constexpr (kBits == 4) {
            return _mm256_madd_epi16(_mm256_add_epi16(_mm256_maddubs_epi16(codes[0], x[0]),
                                                      _mm256_maddubs_epi16(codes[1], x[1])),
                                     ones);
        } else {
            const auto of_half = [&](int half) {
                return _mm256_madd_epi16(
                    _mm256_maddubs_epi16(magnitude[half], _mm256_sign_epi8(x[half], codes[half])),
                    ones);
            };
            return _mm256_add_epi32(of_half(0), of_half(1));
        }
    }
};

/// Scales of a tile of four rows: [two groups][group of the two][row].
void load_scales(const bf16* const* rows, int64_t offset, __m256 (&scales)[2]) {
    const auto four = [&](int row) {
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[row] + offset));
    };
    const __m128i low = _mm_unpacklo_epi16(four(0), four(1));
    const __m128i high = _mm_unpacklo_epi16(four(2), four(3));
    const auto widen_words = [](__m128i words) {
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(words), 16));
    };
    scales[0] = widen_words(_mm_unpacklo_epi32(low, high));
    scales[1] = widen_words(_mm_unpackhi_epi32(low, high));
}

/// The end of eight rows, filled up with zeros to a tile.
struct LastTile {
    uint8_t w[8][128] = {};
    bf16 scale[8][4] = {};

    LastTile(const RowBlock& rows, int64_t w_offset, int64_t w_bytes, int64_t scale_offset,
             int64_t groups) {
        for (int i = 0; i < 8; ++i) {
            __builtin_memcpy(w[i], rows.w[i] + w_offset, size_t(w_bytes));
            __builtin_memcpy(scale[i], rows.scale[i] + scale_offset, size_t(2 * groups));
        }
    }
};

/// A tile of the tokens, and where the weight's part of it begins in its rows.
struct TileAt {
    int64_t tile;
    int64_t w_offset;
    int64_t scale_offset;
};

template <int kBits, int kTokens>
inline __attribute__((always_inline)) void add_whole_tile(const RowBlock& rows, const TileAt& at,
                                                          const Tokens<kTokens>& tokens,
                                                          BlockAhead& ahead,
                                                          Int8Sums (&sums)[kTokens]) {
    __m256 p[kTokens][2][2];  // [two groups][four rows]
    for (int quad = 0; quad < 2; ++quad) {
        __m256 scales[2];
        load_scales(rows.scale + 4 * quad, at.scale_offset, scales);
        for (int pair = 0; pair < 2; ++pair) {
            ahead.fetch();
            __m256i dots[kTokens][4];
            for (int i = 0; i < 4; ++i) {
                const TwoGroups<kBits> w(rows.w[4 * quad + i] + at.w_offset + pair * (8 * kBits));
                for (int t = 0; t < kTokens; ++t) {
                    dots[t][i] = w.dot(tokens.tiles[t * tokens.tiles_each + at.tile].codes[pair]);
                }
            }
            for (int t = 0; t < kTokens; ++t) {
                __m256i sum = _mm256_hadd_epi32(_mm256_hadd_epi32(dots[t][0], dots[t][1]),
                                                _mm256_hadd_epi32(dots[t][2], dots[t][3]));
                if constexpr (kBits == 4) {
                    const PackedTile& x = tokens.tiles[t * tokens.tiles_each + at.tile];
                    sum = _mm256_add_epi32(sum, x.start[pair]);
                }
                p[t][pair][quad] = _mm256_mul_ps(_mm256_cvtepi32_ps(sum), scales[pair]);
            }
        }
    }
    for (int t = 0; t < kTokens; ++t) {
        const auto two_groups = [&](int pair) {  // of all eight rows
            return _mm256_add_ps(_mm256_permute2f128_ps(p[t][pair][0], p[t][pair][1], 0x20),
                                 _mm256_permute2f128_ps(p[t][pair][0], p[t][pair][1], 0x31));
        };
        const __m256 x_scale = _mm256_set1_ps(tokens.scale[t * tokens.scale_stride + at.tile]);
        sums[t].v =
            _mm256_fmadd_ps(_mm256_add_ps(two_groups(0), two_groups(1)), x_scale, sums[t].v);
    }
}

template <int kBits, int kTokens, bool kWhole>
inline __attribute__((always_inline)) void add_tile(const RowBlock& rows,
                                                    const Tokens<kTokens>& tokens, int64_t tile,
                                                    int64_t groups, BlockAhead& ahead,
                                                    Int8Sums (&sums)[kTokens]) {
    const int64_t w_offset = tile * (16 * kBits);
    if constexpr (kWhole) {
        add_whole_tile<kBits, kTokens>(rows, {tile, w_offset, 4 * tile}, tokens, ahead, sums);
    } else {
        const LastTile copy(rows, w_offset, groups * (4 * kBits), 4 * tile, groups);
        RowBlock copied = rows;
        for (int i = 0; i < 8; ++i) {
            copied.w[i] = copy.w[i];
            copied.scale[i] = copy.scale[i];
        }
        add_whole_tile<kBits, kTokens>(copied, {tile, 0, 0}, tokens, ahead, sums);
    }
}

}  // namespace
}  // namespace hadal::ops::cpu
