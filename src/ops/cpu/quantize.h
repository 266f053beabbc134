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
    const T* x;
    int64_t x_stride;
    uint8_t* codes;
    int64_t codes_stride;
    int64_t rows;
    int64_t columns;
};

/// The largest magnitude; NaN if there is one.
template <Isa isa, class T>
float largest_magnitude(const QuantizedRows<T>& part);

/// codes = x / scale, one scale for all.
template <Isa isa, class T>
void quantize_with(const QuantizedRows<T>& part, Code code, float scale);

/// Tiles of one row: scale[j] of columns [j·width, (j + 1)·width).
template <Isa isa, class T>
void quantize_row_tiles(const QuantizedRows<T>& part, int64_t width, const ScaleRule& rule,
                        float* scale, int64_t scale_stride);

/// Tiles of one column over all of the part's rows.
template <Isa isa, class T>
void quantize_column_tile(const QuantizedRows<T>& part, const ScaleRule& rule, float* scale);

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
