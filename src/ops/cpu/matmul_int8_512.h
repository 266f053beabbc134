// Integer products of few tokens on AVX-512 VNNI: the weight is read once from memory to the
// registers, sixteen of its rows side by side, up to four tokens at a time. Included by
// matmul_int8.cpp only.
//
// A step is a tile of 128 weights of each of the sixteen rows. Its codes make two registers of
// unsigned bytes whose 128-bit lane g holds half of group g: even and odd weights of INT4 (the two
// nibbles of each byte), or the halves of the group in INT8. The tokens' codes lie in the same
// order, permuted once a product, and two VPDPBUSD give four sums for each group, which start at
// −bias·Σ a so that the bytes need no offset. Four rows are added up by a transposition to one
// register, [group][row], where the scales are multiplied; the four groups of sixteen rows by
// another, to one register of sixteen results.
//
// Arithmetic for a token: 36 vector instructions for 288 bytes of four rows in INT4, 16 bytes a
// cycle on two ports, which is more than a core reads from memory.
#pragma once

#include <immintrin.h>

#include "ops/cpu/matmul_int8_few.h"

namespace hadal::ops::cpu {
namespace {

/// Where byte i of half h of lane g stands in a tile of activations.
template <int kBits>
__m512i order_of_half(int half) {
    alignas(64) uint8_t order[64];
    for (int g = 0; g < 4; ++g) {
        for (int i = 0; i < 16; ++i) {
            order[16 * g + i] = uint8_t(32 * g + (kBits == 4 ? 2 * i + half : 16 * half + i));
        }
    }
    return _mm512_load_si512(order);
}

/// Tiles of a row of activations; the last is filled up with zeros.
template <int kBits>
void pack_token(const int8_t* x, int64_t in, PackedTile* to) {
    const __m512i order[2] = {order_of_half<kBits>(0), order_of_half<kBits>(1)};
    const __m512i bias = _mm512_set1_epi8(char(1 << (kBits - 1)));
    const auto part = [&](int64_t i) {
        const int64_t count = in - i;
        const __mmask64 mask = count >= 64 ? ~__mmask64(0)
                               : count > 0 ? (__mmask64(1) << count) - 1
                                           : 0;
        return _mm512_maskz_loadu_epi8(mask, x + i);
    };
    for (int64_t i = 0; i < in; i += 128, ++to) {
        const __m512i first = part(i), second = part(i + 64);
        __m512i sum = _mm512_setzero_si512();
        for (int half = 0; half < 2; ++half) {
            to->codes[half] = _mm512_permutex2var_epi8(first, order[half], second);
            sum = _mm512_dpbusd_epi32(sum, bias, to->codes[half]);
        }
        to->start = _mm512_sub_epi32(_mm512_setzero_si512(), sum);
    }
}

/// A tile of a weight's row: as above. `groups` < 4 only in a row's last tile.
template <int kBits, bool kWhole>
void load_codes(const uint8_t* w, int64_t groups, __m512i (&codes)[2]) {
    if constexpr (kBits == 4) {
        const __m512i low_bits = _mm512_set1_epi8(15);
        const __m512i pairs = kWhole
                                  ? _mm512_loadu_si512(w)
                                  : _mm512_maskz_loadu_epi8((__mmask64(1) << (16 * groups)) - 1, w);
        codes[0] = _mm512_and_si512(pairs, low_bits);
        codes[1] = _mm512_and_si512(_mm512_srli_epi16(pairs, 4), low_bits);
    } else {
        const auto part = [&](int64_t begin) {
            const int64_t words = 8 * (groups - begin);
            if (kWhole || words >= 16) return _mm512_loadu_si512(w + 32 * begin);
            return _mm512_maskz_loadu_epi32(words > 0 ? __mmask16((1 << words) - 1) : __mmask16(0),
                                            w + 32 * begin);
        };
        const __m512i first = part(0), second = part(2);
        codes[0] = _mm512_shuffle_i32x4(first, second, 0x88);
        codes[1] = _mm512_shuffle_i32x4(first, second, 0xDD);
    }
}

/// Scales of a tile of four rows, [group][row].
template <bool kWhole>
__m512 load_scales(const bf16* const* rows, int64_t offset, int64_t groups) {
    uint64_t copies[4];
    const auto four = [&](int row) {
        if (kWhole) return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(rows[row] + offset));
        copies[row] = 0;
        __builtin_memcpy(&copies[row], rows[row] + offset, size_t(2 * groups));
        return _mm_loadl_epi64(reinterpret_cast<const __m128i*>(copies + row));
    };
    __m256i all = _mm256_broadcastq_epi64(four(0));
    all = _mm256_mask_broadcastq_epi64(all, 2, four(1));
    all = _mm256_mask_broadcastq_epi64(all, 4, four(2));
    all = _mm256_mask_broadcastq_epi64(all, 8, four(3));
    // Word 4·row + group to the upper half of lane 4·group + row, which makes it a float32.
    const __m512i order =
        _mm512_setr_epi32(0x00000, 0x40000, 0x80000, 0xC0000, 0x10000, 0x50000, 0x90000, 0xD0000,
                          0x20000, 0x60000, 0xA0000, 0xE0000, 0x30000, 0x70000, 0xB0000, 0xF0000);
    return _mm512_castsi512_ps(
        _mm512_maskz_permutexvar_epi16(0xAAAAAAAA, order, _mm512_castsi256_si512(all)));
}

/// The sums of the four words in each lane of each of four registers: [lane][register].
__m512i sum_words(const __m512i (&x)[4]) {
    const auto pairs = [](__m512i a, __m512i b) {
        return _mm512_add_epi32(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    };
    const __m512i low = pairs(x[0], x[1]), high = pairs(x[2], x[3]);
    return _mm512_add_epi32(_mm512_unpacklo_epi64(low, high), _mm512_unpackhi_epi64(low, high));
}

/// (lane 0 + lane 1) + (lane 2 + lane 3) of each of four registers, one after another.
__m512 sum_lanes_by_pairs(const __m512 (&p)[4]) {
    const auto pairs = [](__m512 a, __m512 b) {
        return _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD));
    };
    return pairs(pairs(p[0], p[1]), pairs(p[2], p[3]));
}

/// sums += one tile's part.
template <int kBits, int kTokens, bool kWhole>
inline __attribute__((always_inline)) void add_tile(const RowBlock& rows,
                                                    const Tokens<kTokens>& tokens, int64_t tile,
                                                    int64_t groups, BlockAhead& ahead,
                                                    Int8Sums (&sums)[kTokens]) {
    __m512 p[kTokens][4];
    for (int quad = 0; quad < 4; ++quad) {
        ahead.fetch();
        __m512i codes[4][2];
        for (int i = 0; i < 4; ++i) {
            load_codes<kBits, kWhole>(rows.w[4 * quad + i] + tile * (16 * kBits), groups, codes[i]);
        }
        const __m512 scale = load_scales<kWhole>(rows.scale + 4 * quad, 4 * tile, groups);
        for (int t = 0; t < kTokens; ++t) {
            const PackedTile& x = tokens.tiles[t * tokens.tiles_each + tile];
            __m512i dots[4];
            for (int i = 0; i < 4; ++i) {
                dots[i] = _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(x.start, codes[i][0], x.codes[0]),
                                              codes[i][1], x.codes[1]);
            }
            p[t][quad] = _mm512_mul_ps(_mm512_cvtepi32_ps(sum_words(dots)), scale);
        }
    }
    for (int t = 0; t < kTokens; ++t) {
        const __m512 x_scale = _mm512_set1_ps(tokens.scale[t * tokens.scale_stride + tile]);
        sums[t].v = _mm512_fmadd_ps(sum_lanes_by_pairs(p[t]), x_scale, sums[t].v);
    }
}

}  // namespace
}  // namespace hadal::ops::cpu
