// Kernels of ops/quantize.cpp. They give the bits of formats/scale_tile.h.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/float8.h"

namespace hadal::ops::cpu {

/// Codes to write, their largest value and the kind of scale.
struct ScaleRule {
    Code code;
    float largest;
    bool power_of_two;
};

/// Rows of x, stored as T, and where their codes go.
template <class T>
struct QuantizedRows {
    const T* x;  // [rows, columns]
    int64_t x_stride;
    uint8_t* codes;  // [rows, columns]
    int64_t codes_stride;
    int64_t rows;
    int64_t columns;
};

/// Codes and tiles of one row, and where the same columns' codes in tiles of one column go.
struct CodeColumns {
    const uint8_t* codes;  // [rows, columns]
    int64_t codes_stride;
    Code code;
    const float* row_scale;  // of the tile in which the first column lies
    int64_t row_scale_stride;
    int64_t tile_width;      // a multiple of kCodeStrip, or all columns lie in one tile
    int64_t column_in_tile;  // of the first
    uint8_t* to;             // [rows, columns]
    int64_t to_stride;
    int64_t rows;
    int64_t columns;
};
inline constexpr int64_t kCodeStrip = 64;  // 128 rows in float32 and as codes fit in L1
inline constexpr int64_t kRequantizeFloats = 80;

/// Tiles of `width` columns and all rows side by side.
template <Isa isa, class T>
void quantize_blocks(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule,
                     float* scale);

/// Tiles of one row: scale[j] of columns [j·width, (j + 1)·width).
template <Isa isa, class T>
void quantize_row_tiles(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule,
                        float* scale, int64_t scale_stride);

/// Tiles of one column over all of the part's rows.
template <Isa isa, class T>
void quantize_column_tile(const QuantizedRows<T>& part, const ScaleRule& rule, float* scale);

/// The same from codes. `scratch`, aligned to 64 bytes, has kRequantizeFloats for each row.
template <Isa isa>
void requantize_column_tile(const CodeColumns& part, const ScaleRule& rule, float* scale,
                            float* scratch);

/// y = codes · scale for a row, one scale for each `width` columns.
template <Isa isa, class T>
void dequantize_row(const uint8_t* codes, Code code, const float* scale, int64_t width,
                    int64_t columns, T* y);

/// A row in tiles of `width` columns, an even number: E5M6 pairs in 3 bytes.
template <Isa isa, class T>
void pack_e5m6_row(const T* x, int64_t width, int64_t columns, uint8_t* packed, float* scale);
template <Isa isa, class T>
void unpack_e5m6_row(const uint8_t* packed, const float* scale, int64_t width, int64_t columns,
                     T* y);

}  // namespace hadal::ops::cpu
