#include "formats/scale_tile.h"

#include <algorithm>
#include <cmath>

#include "formats/bfloat16.h"
#include "formats/float8.h"

namespace hadal::formats {

namespace {

float load(const float& value) {
    return value;
}
float load(const bf16& value) {
    return to_float(value);
}
void store(float value, float& place) {
    place = value;
}
void store(float value, bf16& place) {
    place = to_bf16(value);
}

template <class Value>
void dequantize(const Tensor& q, const Tensor& scale, Tensor& y) {
    const auto [rows, columns] = q.shape<2>();
    for (int64_t i = 0; i < rows; ++i) {
        const auto codes = q.row<f8_e4m3>(i);
        const auto scales = scale.row<float>(i / kScaleBlock);
        const auto values = y.row<Value>(i);
        for (int64_t block = 0; block * kScaleBlock < columns; ++block) {
            const float factor = scales[size_t(block)];
            const int64_t end = std::min(columns, (block + 1) * kScaleBlock);
            for (int64_t j = block * kScaleBlock; j < end; ++j) {
                store(to_float(codes[size_t(j)]) * factor, values[size_t(j)]);
            }
        }
    }
}

/// A NaN in the block makes the maximum, and so every code of the block, NaN: never a plausible
/// number.
template <class Value>
float block_scale(const Tensor& w, int64_t row, int64_t row_end, int64_t column,
                  int64_t column_end) {
    float largest = 0;
    for (int64_t i = row; i < row_end; ++i) {
        const auto values = w.row<Value>(i);
        for (int64_t j = column; j < column_end; ++j) {
            const float magnitude = std::fabs(load(values[size_t(j)]));
            if (!(magnitude <= largest)) largest = magnitude;
            if (std::isnan(largest)) return largest;
        }
    }
    return largest == 0 ? 1 : largest / kLargestF8;
}

template <class Value>
void quantize(const Tensor& w, Tensor& q, Tensor& scale) {
    const auto [rows, columns] = w.shape<2>();
    for (int64_t row = 0; row < rows; row += kScaleBlock) {
        const int64_t row_end = std::min(rows, row + kScaleBlock);
        for (int64_t column = 0; column < columns; column += kScaleBlock) {
            const int64_t column_end = std::min(columns, column + kScaleBlock);
            const float factor = block_scale<Value>(w, row, row_end, column, column_end);
            scale.row<float>(row / kScaleBlock)[size_t(column / kScaleBlock)] = factor;
            for (int64_t i = row; i < row_end; ++i) {
                const auto values = w.row<Value>(i);
                const auto codes = q.row<f8_e4m3>(i);
                for (int64_t j = column; j < column_end; ++j) {
                    codes[size_t(j)] = to_f8_e4m3(load(values[size_t(j)]) / factor);
                }
            }
        }
    }
}

void require_wide(const Tensor& tensor, const Shape& shape, std::string_view what) {
    require(tensor, tensor.dtype() == DType::f32 ? DType::f32 : DType::bf16, shape, what);
}

}  // namespace

Shape scale_shape(const Shape& weight) {
    HADAL_ASSERT(weight.rank() == 2);
    return {(weight[0] + kScaleBlock - 1) / kScaleBlock,
            (weight[1] + kScaleBlock - 1) / kScaleBlock};
}

void dequantize_blocks(const Tensor& q, const Tensor& scale, Tensor& y) {
    require(q, DType::f8_e4m3, {-1, -1}, "q");
    require(scale, DType::f32, scale_shape(q.shape()), "scale");
    require_wide(y, q.shape(), "y");
    if (y.dtype() == DType::f32) return dequantize<float>(q, scale, y);
    dequantize<bf16>(q, scale, y);
}

void quantize_blocks(const Tensor& w, Tensor& q, Tensor& scale) {
    require(q, DType::f8_e4m3, {-1, -1}, "q");
    require(scale, DType::f32, scale_shape(q.shape()), "scale");
    require_wide(w, q.shape(), "w");
    if (w.dtype() == DType::f32) return quantize<float>(w, q, scale);
    quantize<bf16>(w, q, scale);
}

}  // namespace hadal::formats
