#include "ops/quantize.h"

#include <algorithm>
#include <cmath>

#include "formats/bfloat16.h"
#include "formats/e5m6.h"
#include "formats/e8m0.h"

namespace hadal::ops {

void quantize_tiles(Context& context, const Tensor& x, TiledMatrix& q) {
    const Quantization one{x, q};
    quantize_tiles(context, std::span(&one, 1));
}

void quantize_tiles(Context& context, std::span<const Quantization> list) {
    context.threads.parallel_for(int64_t(list.size()), [&](int64_t i) {
        TiledMatrix q = list[size_t(i)].q;
        formats::quantize_tiles(list[size_t(i)].x, q);
    });
}

void dequantize_tiles(Context&, const TiledMatrix& x, Tensor& y) {
    formats::dequantize_tiles(x, y);
}

void requantize_tiles(Context& context, const TiledMatrix& from, TiledMatrix& to) {
    const Requantization one{from, to};
    requantize_tiles(context, std::span(&one, 1));
}

void requantize_tiles(Context& context, std::span<const Requantization> list) {
    for (const Requantization& one : list) {
        const Workspace::Scope scope(context.workspace);
        Tensor values = context.workspace.take(one.from.codes.shape(), DType::f32);
        formats::dequantize_tiles(one.from, values);
        TiledMatrix to = one.to;
        formats::quantize_tiles(values, to);
    }
}

namespace {

float value_at(const Tensor& x, int64_t i, int64_t j) {
    return x.dtype() == DType::f32 ? x.row<float>(i)[size_t(j)]
                                   : to_float(x.row<bf16>(i)[size_t(j)]);
}

}  // namespace

void pack_e5m6(Context& context, const Tensor& x, Tensor& packed, Tensor& scale) {
    const auto [rows, columns] = x.shape<2>();
    require(x, x.dtype() == DType::f32 ? DType::f32 : DType::bf16, {rows, columns}, "pack_e5m6: x");
    require(packed, DType::u8, {rows, e5m6_row_bytes(columns)}, "pack_e5m6: packed");
    require(scale, DType::f32, formats::scale_shape(x.shape(), formats::kRowTiles),
            "pack_e5m6: scale");
    context.threads.parallel_for(rows, 16, [&](int64_t i) {
        uint8_t* to = packed.row<uint8_t>(i).data();
        for (int64_t tile = 0; tile < columns; tile += formats::kScaleBlock) {
            const int64_t end = std::min(columns, tile + formats::kScaleBlock);
            float largest = 0;
            for (int64_t j = tile; j < end; ++j) {
                const float magnitude = std::fabs(value_at(x, i, j));
                if (!(magnitude <= largest)) largest = magnitude;
            }
            const float factor =
                formats::tile_scale(largest, kLargestE5M6, formats::ScaleKind::power_of_two);
            scale.row<float>(i)[size_t(tile / formats::kScaleBlock)] = factor;
            for (int64_t j = tile; j < end; j += 2) {
                const float second = j + 1 < end ? value_at(x, i, j + 1) : 0;
                put_e5m6_pair(to_e5m6(value_at(x, i, j) / factor), to_e5m6(second / factor),
                              to + j / 2 * 3);
            }
        }
    });
}

void unpack_e5m6(Context& context, const Tensor& packed, const Tensor& scale, Tensor& y) {
    const auto [rows, columns] = y.shape<2>();
    require(y, y.dtype() == DType::f32 ? DType::f32 : DType::bf16, {rows, columns},
            "unpack_e5m6: y");
    require(packed, DType::u8, {rows, e5m6_row_bytes(columns)}, "unpack_e5m6: packed");
    require(scale, DType::f32, formats::scale_shape(y.shape(), formats::kRowTiles),
            "unpack_e5m6: scale");
    context.threads.parallel_for(rows, 16, [&](int64_t i) {
        const uint8_t* from = packed.row<uint8_t>(i).data();
        for (int64_t j = 0; j < columns; ++j) {
            const float value =
                to_float(e5m6_at(from, j)) * scale.row<float>(i)[size_t(j / formats::kScaleBlock)];
            if (y.dtype() == DType::f32) {
                y.row<float>(i)[size_t(j)] = value;
            } else {
                y.row<bf16>(i)[size_t(j)] = to_bf16(value);
            }
        }
    });
}

}  // namespace hadal::ops
