#include "formats/scale_tile.h"

#include <algorithm>
#include <cmath>

#include "formats/bfloat16.h"
#include "formats/e8m0.h"
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
void store(float value, f8_e4m3& place) {
    place = to_f8_e4m3(value);
}
void store(float value, f8_e5m2& place) {
    place = to_f8_e5m2(value);
}

/// What one scale covers, edges cut off.
struct Tile {
    int64_t row;
    int64_t row_end;
    int64_t column;
    int64_t column_end;
    float* scale;
};

/// f(tile) for each tile of the matrix.
template <class F>
void for_each_tile(const TiledMatrix& matrix, const F& f) {
    const auto [rows, columns] = matrix.codes.shape<2>();
    const int64_t height = matrix.tiling.rows == 0 ? rows : matrix.tiling.rows;
    const int64_t width = matrix.tiling.columns == 0 ? columns : matrix.tiling.columns;
    Tensor scale = matrix.scale;  // a handle
    for (int64_t row = 0; row < rows; row += height) {
        for (int64_t column = 0; column < columns; column += width) {
            f(Tile{row, std::min(rows, row + height), column, std::min(columns, column + width),
                   &scale.row<float>(row / height)[size_t(column / width)]});
        }
    }
}

template <class Code, class Value>
void dequantize(const TiledMatrix& x, Tensor& y) {
    for_each_tile(x, [&](const Tile& tile) {
        for (int64_t i = tile.row; i < tile.row_end; ++i) {
            const auto codes = x.codes.row<Code>(i);
            const auto values = y.row<Value>(i);
            for (int64_t j = tile.column; j < tile.column_end; ++j) {
                store(to_float(codes[size_t(j)]) * *tile.scale, values[size_t(j)]);
            }
        }
    });
}

/// The largest magnitude of a tile, NaN if it holds one.
template <class Value>
float largest_magnitude(const Tensor& x, const Tile& tile) {
    float largest = 0;
    for (int64_t i = tile.row; i < tile.row_end; ++i) {
        const auto values = x.row<Value>(i);
        for (int64_t j = tile.column; j < tile.column_end; ++j) {
            const float magnitude = std::fabs(load(values[size_t(j)]));
            if (!(magnitude <= largest)) largest = magnitude;
            if (std::isnan(largest)) return largest;
        }
    }
    return largest;
}

template <class Code, class Value>
void quantize(const Tensor& x, TiledMatrix& q) {
    constexpr float kLargest = std::is_same_v<Code, f8_e4m3> ? kLargestF8 : kLargestE5M2;
    for_each_tile(q, [&](const Tile& tile) {
        *tile.scale = tile_scale(largest_magnitude<Value>(x, tile), kLargest, q.tiling.scale);
        for (int64_t i = tile.row; i < tile.row_end; ++i) {
            const auto values = x.row<Value>(i);
            const auto codes = q.codes.row<Code>(i);
            for (int64_t j = tile.column; j < tile.column_end; ++j) {
                store(load(values[size_t(j)]) / *tile.scale, codes[size_t(j)]);
            }
        }
    });
}

void require_wide(const Tensor& tensor, const Shape& shape, std::string_view what) {
    hadal::require(tensor, tensor.dtype() == DType::f32 ? DType::f32 : DType::bf16, shape, what);
}

/// f.template operator()<Code, Value>() for the types of codes and values.
template <class F>
void with_types(const TiledMatrix& matrix, const Tensor& values, const F& f) {
    const bool e4m3 = matrix.codes.dtype() == DType::f8_e4m3;
    if (values.dtype() == DType::f32) {
        return e4m3 ? f.template operator()<f8_e4m3, float>()
                    : f.template operator()<f8_e5m2, float>();
    }
    e4m3 ? f.template operator()<f8_e4m3, bf16>() : f.template operator()<f8_e5m2, bf16>();
}

int64_t parts(int64_t whole, int64_t size) {
    if (size == 0) return 1;
    return (whole + size - 1) / size;
}

}  // namespace

Shape scale_shape(const Shape& matrix, const Tiling& tiling) {
    HADAL_ASSERT(matrix.rank() == 2);
    return {parts(matrix[0], tiling.rows), parts(matrix[1], tiling.columns)};
}

TiledMatrix TiledMatrix::uninitialized(const Shape& shape, const Tiling& tiling, DType codes) {
    return {Tensor::uninitialized(shape, codes),
            Tensor::uninitialized(scale_shape(shape, tiling), DType::f32), tiling};
}

TiledMatrix TiledMatrix::rows(int64_t begin, int64_t count) const {
    const int64_t height = tiling.rows;
    const bool whole = begin == 0 && count == codes.shape()[0];
    if (!whole && (height == 0 || begin % height != 0 ||
                   (count % height != 0 && begin + count != codes.shape()[0]))) {
        throw Error(Error::Kind::internal,
                    concat("rows ", begin, " to ", begin + count, " cut a tile of ", height,
                           " rows of a matrix ", codes.shape().text()));
    }
    if (whole) return *this;
    return {codes.rows(begin, count), scale.rows(begin / height, parts(count, height)), tiling};
}

float tile_scale(float amax, float largest, ScaleKind kind) {
    if (amax == 0) return 1;
    const float scale = amax / largest;
    if (kind == ScaleKind::power_of_two) return power_of_two_from(scale);
    return scale == 0 ? 1 : scale;  // float32 has no such small scale: all codes become 0
}

void require(const TiledMatrix& matrix, const Shape& shape, std::string_view what) {
    const DType codes = matrix.codes.dtype();
    hadal::require(matrix.codes, codes == DType::f8_e5m2 ? codes : DType::f8_e4m3, shape, what);
    const Shape scales = scale_shape(matrix.codes.shape(), matrix.tiling);
    // The name is put together for the message alone: a string would be allocated.
    const bool good = matrix.scale.dtype() == DType::f32 && matrix.scale.shape() == scales;
    if (!good) hadal::require(matrix.scale, DType::f32, scales, concat(what, ": scale"));
}

void dequantize_tiles(const TiledMatrix& x, Tensor& y) {
    require(x, {-1, -1}, "x");
    require_wide(y, x.codes.shape(), "y");
    with_types(x, y, [&]<class Code, class Value>() { dequantize<Code, Value>(x, y); });
}

void quantize_tiles(const Tensor& x, TiledMatrix& q) {
    require(q, {-1, -1}, "q");
    require_wide(x, q.codes.shape(), "x");
    if (x.count() == 0) std::ranges::fill(q.scale.values<float>(), 1.0f);  // of no element
    with_types(q, x, [&]<class Code, class Value>() { quantize<Code, Value>(x, q); });
}

void dequantize_blocks(const Tensor& q, const Tensor& scale, Tensor& y) {
    hadal::require(q, DType::f8_e4m3, {-1, -1}, "q");
    dequantize_tiles({q, scale, kBlockTiles}, y);
}

void quantize_blocks(const Tensor& w, Tensor& q, Tensor& scale) {
    hadal::require(q, DType::f8_e4m3, {-1, -1}, "q");
    TiledMatrix matrix{q, scale, kBlockTiles};
    quantize_tiles(w, matrix);
}

}  // namespace hadal::formats
