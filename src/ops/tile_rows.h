// Rows of a matrix in tiles of one row, quantised or dequantised one by one: for operators that
// hold a row in the first-level cache before or after.
#pragma once

#include <algorithm>

#include "formats/float8.h"
#include "formats/scale_tile.h"
#include "ops/cpu/quantize.h"

namespace hadal::ops {

inline cpu::ScaleRule rule_of(const formats::TiledMatrix& q) {
    const bool e4m3 = q.codes.dtype() == DType::f8_e4m3;
    return {e4m3 ? cpu::Code::e4m3 : cpu::Code::e5m2, e4m3 ? kLargestF8 : kLargestE5M2,
            q.tiling.scale == formats::ScaleKind::power_of_two};
}

class TileRows {
  public:
    explicit TileRows(const formats::TiledMatrix& q)
        : TileRows(q, formats::TiledMatrix(q)) {}  // a handle: the memory is the caller's

    /// Rows row … row + count − 1, whose values lie `stride` apart.
    template <Isa isa>
    void quantize(const bf16* values, int64_t stride, int64_t row, int64_t count) const {
        cpu::quantize_row_tiles<isa, bf16>(
            {values, stride, codes_ + row * codes_stride_, codes_stride_, count, columns_}, width_,
            rule_, scale_ + row * scale_stride_, scale_stride_);
    }
    template <Isa isa>
    void dequantize(int64_t row, int64_t count, bf16* values, int64_t stride) const {
        for (int64_t i = row; i < row + count; ++i, values += stride) {
            cpu::dequantize_row<isa>(codes_ + i * codes_stride_, rule_.code,
                                     scale_ + i * scale_stride_, width_, columns_, values);
        }
    }

    /// Asks for the row's codes, which will be written, or read.
    template <bool for_writing>
    void fetch(int64_t row) const {
        const uint8_t* codes = codes_ + row * codes_stride_;
        for (int64_t j = 0; j < columns_; j += 64) __builtin_prefetch(codes + j, for_writing, 3);
    }

  private:
    TileRows(const formats::TiledMatrix& q, formats::TiledMatrix handle)
        : codes_(reinterpret_cast<uint8_t*>(handle.codes.data())),
          codes_stride_(q.codes.row_stride()),
          scale_(handle.scale.data_as<float>()),
          scale_stride_(q.scale.row_stride()),
          columns_(q.codes.shape()[1]),
          width_(q.tiling.columns == 0 ? std::max<int64_t>(1, columns_) : q.tiling.columns),
          rule_(rule_of(q)) {}

    uint8_t* codes_;  // [rows, columns]
    int64_t codes_stride_;
    float* scale_;  // [rows, ⌈columns / width⌉]
    int64_t scale_stride_;
    int64_t columns_;
    int64_t width_;
    cpu::ScaleRule rule_;
};

}  // namespace hadal::ops
