// What the products on AMX tile registers share, whatever their operands: a block of 32×32 sums in
// four tiles, how the registers are set up for it, and how its sums reach the result.
#pragma once

#if defined(__AMX_BF16__)

#include <immintrin.h>

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"

namespace hadal::ops::cpu {
namespace {

constexpr int64_t kBlock = 32;        // rows and columns of a block
constexpr int64_t kTileBytes = 1024;  // of a tile register

int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

struct alignas(64) TileConfiguration {
    uint8_t palette = 1;
    uint8_t start_row = 0;
    uint8_t reserved[14] = {};
    uint16_t column_bytes[16] = {};
    uint8_t rows[16] = {};
};

/// Rows and columns of the block's two tiles each way; the second may be 0.
struct BlockShape {
    int64_t rows[2];
    int64_t columns[2];
    bool operator==(const BlockShape&) const = default;
};

/// Tile registers 0–3 hold sums [row tile][column tile], 4–5 rows, 6–7 columns.
[[maybe_unused]] void configure(const BlockShape& shape) {
    TileConfiguration configuration;
    const auto set = [&](int tile, int64_t rows, int64_t columns) {
        configuration.rows[tile] = uint8_t(rows > 0 ? rows : 1);
        configuration.column_bytes[tile] = uint16_t(4 * (columns > 0 ? columns : 1));
    };
    for (int i = 0; i < 2; ++i) {
        set(2 * i, shape.rows[i], shape.columns[0]);
        set(2 * i + 1, shape.rows[i], shape.columns[1]);
        set(4 + i, shape.rows[i], 16);
        set(6 + i, 16, shape.columns[i]);
    }
    asm volatile("ldtilecfg %0" ::"m"(configuration));
}

/// Sixteen sums (those of `lanes`) to c, added to what it holds if wanted.
void store_sums(__m512 sums, __mmask16 lanes, bool add, float* c) {
    if (add) sums = _mm512_add_ps(sums, _mm512_maskz_loadu_ps(lanes, c));
    _mm512_mask_storeu_ps(c, lanes, sums);
}
void store_sums(__m512 sums, __mmask16 lanes, bool add, bf16* c) {
    if (add) {
        const __m512i old = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(lanes, c));
        sums = _mm512_add_ps(sums, _mm512_castsi512_ps(_mm512_slli_epi32(old, 16)));
    }
    _mm256_mask_storeu_epi16(c, lanes, __m256i(_mm512_cvtneps_pbh(sums)));
}

}  // namespace
}  // namespace hadal::ops::cpu

#endif
