// What the tests of FP8 operators share.
#pragma once

#include <string>

#include "formats/float8.h"
#include "formats/scale_tile.h"
#include "ops/support.h"

namespace hadal::test {

/// A matrix's tiling in words, for CAPTURE.
inline std::string text(const formats::Tiling& tiling) {
    return concat(tiling.rows, "×", tiling.columns,
                  tiling.scale == formats::ScaleKind::f32 ? "" : " power of two");
}

/// codes · scale at (i, j), exactly.
inline double value_at(const formats::TiledMatrix& x, int64_t i, int64_t j) {
    const int64_t height = x.tiling.rows == 0 ? x.codes.shape()[0] : x.tiling.rows;
    const int64_t width = x.tiling.columns == 0 ? x.codes.shape()[1] : x.tiling.columns;
    const double code = x.codes.dtype() == DType::f8_e4m3
                            ? double(to_float(x.codes.row<f8_e4m3>(i)[size_t(j)]))
                            : double(to_float(x.codes.row<f8_e5m2>(i)[size_t(j)]));
    return code * double(x.scale.row<float>(i / height)[size_t(j / width)]);
}

/// Normal values of sizes that differ from row to row, quantised by the reference. Rows lie apart,
/// with NaN codes between them.
inline formats::TiledMatrix random_tiles(const Shape& shape, const formats::Tiling& tiling,
                                         uint64_t seed, DType codes = DType::f8_e4m3,
                                         int64_t spare = 0) {
    const Tensor values = filled(shape, DType::f32, [&](int64_t i) {
        const auto row = uint64_t(i / shape[1]);
        return random_normal(seed, 0, uint64_t(i)) * std::exp(random_normal(seed, 1, row));
    });
    formats::TiledMatrix q =
        formats::TiledMatrix::uninitialized({shape[0], shape[1] + spare}, tiling, codes);
    std::memset(q.codes.data(), 0x7F, size_t(q.codes.bytes()));
    q.codes = q.codes.columns(0, shape[1]);
    q.scale = Tensor::uninitialized(formats::scale_shape(shape, tiling), DType::f32);
    formats::quantize_tiles(values, q);
    return q;
}

}  // namespace hadal::test
