#include "ops/quantize.h"

#include <algorithm>

#include "formats/e5m6.h"
#include "formats/float8.h"
#include "ops/cpu/convert.h"
#include "ops/cpu/quantize.h"
#include "ops/launch.h"
#include "ops/tile_rows.h"

namespace hadal::ops {

namespace {

using formats::kScaleBlock;

void check_wide(const Tensor& x, const Shape& shape, std::string_view what) {
    require(x, x.dtype() == DType::f32 ? DType::f32 : DType::bf16, shape, what);
}

/// A part of a matrix that one task quantises: whole tiles.
struct Region {
    int64_t row;
    int64_t rows;
    int64_t column;
    int64_t columns;
};

/// How a matrix is cut into regions: bands of rows by pieces of columns.
struct Grid {
    int64_t first_task;
    int64_t band;   // rows
    int64_t piece;  // columns
    int64_t pieces;
};

Grid grid_of(const Shape& shape, const Tiling& tiling, int64_t first_task) {
    constexpr int64_t kBlocks = 512;  // columns of a task of blocks
    constexpr int64_t kStrip = 256;   // of a task of column tiles
    if (tiling.rows == 1) {           // whole rows
        return {first_task, rows_per_task(shape[1]), std::max<int64_t>(1, shape[1]), 1};
    }
    const int64_t band = tiling.rows == 0 ? std::max<int64_t>(1, shape[0]) : tiling.rows;
    const int64_t width = tiling.columns == 0 ? std::max<int64_t>(1, shape[1]) : tiling.columns;
    const int64_t piece = width == 1 ? kStrip : std::max(width, kBlocks / width * width);
    return {first_task, band, piece, (shape[1] + piece - 1) / piece};
}

int64_t tasks_of(const Shape& shape, const Grid& grid) {
    return (shape[0] + grid.band - 1) / grid.band * grid.pieces;
}

Region region_of(const Shape& shape, const Grid& grid, int64_t task) {
    const int64_t row = (task - grid.first_task) / grid.pieces * grid.band;
    const int64_t column = (task - grid.first_task) % grid.pieces * grid.piece;
    return {row, std::min(grid.band, shape[0] - row), column,
            std::min(grid.piece, shape[1] - column)};
}

/// Values of a region, and where its codes go.
template <class T>
cpu::QuantizedRows<T> rows_of(const T* values, int64_t stride, TiledMatrix& q, const Region& to) {
    auto* codes = reinterpret_cast<uint8_t*>(q.codes.data());
    const int64_t codes_stride = q.codes.row_stride();
    return {values,       stride,  codes + to.row * codes_stride + to.column,
            codes_stride, to.rows, to.columns};
}

template <Isa isa, class T>
void quantize_region(const cpu::QuantizedRows<T>& rows, TiledMatrix& q, const Region& region) {
    const Tiling& tiling = q.tiling;
    const int64_t width =
        tiling.columns == 0 ? std::max<int64_t>(1, q.codes.shape()[1]) : tiling.columns;
    const int64_t band = tiling.rows == 0 ? std::max<int64_t>(1, q.codes.shape()[0]) : tiling.rows;
    float* scale =
        q.scale.data_as<float>() + region.row / band * q.scale.row_stride() + region.column / width;
    const cpu::ScaleRule rule = rule_of(q);
    if (band == 1) {
        cpu::quantize_row_tiles<isa>(rows, width, rule, scale, q.scale.row_stride());
    } else if (width == 1) {
        cpu::quantize_column_tile<isa>(rows, rule, scale);
    } else {
        cpu::quantize_blocks<isa>(rows, width, rule, scale);
    }
}

/// Rows of float32 values in a thread's scratch memory lie a little more than a power of two apart:
/// a column of them must not fall on few sets of the cache.
int64_t scratch_stride(int64_t columns) {
    return (columns + 15) / 16 * 16 + 16;
}

void load_rows(Isa isa, const Tensor& x, const Region& region, float* to) {
    const int64_t first = region.row * x.row_stride() + region.column;
    cpu::with_isa(isa, [&]<Isa chosen>() {
        for (int64_t i = 0; i < region.rows; ++i, to += scratch_stride(region.columns)) {
            const int64_t at = first + i * x.row_stride();
            if (x.dtype() == DType::f32) {
                std::copy_n(x.data_as<float>() + at, region.columns, to);
            } else {
                cpu::widen<chosen>(x.data_as<bf16>() + at, to, region.columns);
            }
        }
    });
}

/// Columns [column, column + count) of row i of x, as T.
template <Isa isa, class T>
void dequantize_part(const TiledMatrix& x, int64_t i, int64_t column, int64_t count, T* to) {
    const int64_t band =
        x.tiling.rows == 0 ? std::max<int64_t>(1, x.codes.shape()[0]) : x.tiling.rows;
    const int64_t width =
        x.tiling.columns == 0 ? std::max<int64_t>(1, x.codes.shape()[1]) : x.tiling.columns;
    const auto* codes = reinterpret_cast<const uint8_t*>(x.codes.data()) + i * x.codes.row_stride();
    const float* scale = x.scale.data_as<float>() + i / band * x.scale.row_stride();
    const cpu::Code code = x.codes.dtype() == DType::f8_e4m3 ? cpu::Code::e4m3 : cpu::Code::e5m2;
    for (int64_t j = column; j < column + count;) {  // from one edge of x's tiles to the next
        const int64_t end = std::min(column + count, (j / width + 1) * width);
        cpu::dequantize_row<isa>(codes + j, code, scale + j / width, end - j, end - j,
                                 to + (j - column));
        j = end;
    }
}

void load_rows(Isa isa, const TiledMatrix& x, const Region& region, float* to) {
    cpu::with_isa(isa, [&]<Isa chosen>() {
        for (int64_t i = 0; i < region.rows; ++i, to += scratch_stride(region.columns)) {
            dequantize_part<chosen>(x, region.row + i, region.column, region.columns, to);
        }
    });
}

/// Tiles of one row, wide enough, to tiles of one column. Returns whether these are such.
bool requantize_columns(Isa isa, const TiledMatrix& x, TiledMatrix& q, const Region& region,
                        float* scratch) {
    const int64_t width =
        x.tiling.columns == 0 ? std::max<int64_t>(1, x.codes.shape()[1]) : x.tiling.columns;
    const bool wide =
        width % cpu::kCodeStrip == 0 || region.column % width + region.columns <= width;
    if (x.tiling.rows != 1 || q.tiling.columns != 1 || !wide) return false;
    const auto at = [&](const TiledMatrix& matrix) {
        return region.row * matrix.codes.row_stride() + region.column;
    };
    const cpu::CodeColumns part{
        .codes = reinterpret_cast<const uint8_t*>(x.codes.data()) + at(x),
        .codes_stride = x.codes.row_stride(),
        .code = x.codes.dtype() == DType::f8_e4m3 ? cpu::Code::e4m3 : cpu::Code::e5m2,
        .row_scale =
            x.scale.data_as<float>() + region.row * x.scale.row_stride() + region.column / width,
        .row_scale_stride = x.scale.row_stride(),
        .tile_width = width,
        .column_in_tile = region.column % width,
        .to = reinterpret_cast<uint8_t*>(q.codes.data()) + at(q),
        .to_stride = q.codes.row_stride(),
        .rows = region.rows,
        .columns = region.columns};
    const int64_t band =
        q.tiling.rows == 0 ? std::max<int64_t>(1, q.codes.shape()[0]) : q.tiling.rows;
    float* scale =
        q.scale.data_as<float>() + region.row / band * q.scale.row_stride() + region.column;
    cpu::with_isa(isa, [&]<Isa chosen>() {
        cpu::requantize_column_tile<chosen>(part, rule_of(q), scale, scratch);
    });
    return true;
}

/// Quantises one region; where columns are tiles or the source is quantised itself, from a copy in
/// float32.
template <class Source>
void quantize_task(Isa isa, const Source& source, TiledMatrix q, const Region& region,
                   float* scratch) {
    if constexpr (std::is_same_v<Source, Tensor>) {
        if (q.tiling.columns != 1) {
            const int64_t first = region.row * source.row_stride() + region.column;
            with_float_type(source.dtype(), "quantize_tiles", [&]<class T>() {
                if constexpr (!std::is_same_v<T, double>) {
                    cpu::with_isa(isa, [&]<Isa chosen>() {
                        quantize_region<chosen>(rows_of(source.template data_as<T>() + first,
                                                        source.row_stride(), q, region),
                                                q, region);
                    });
                }
            });
            return;
        }
    } else if (requantize_columns(isa, source, q, region, scratch)) {
        return;
    }
    load_rows(isa, source, region, scratch);
    cpu::with_isa(isa, [&]<Isa chosen>() {
        const float* values = scratch;
        quantize_region<chosen>(rows_of(values, scratch_stride(region.columns), q, region), q,
                                region);
    });
}

const Tensor& source_of(const Quantization& item) {
    return item.x;
}
const TiledMatrix& source_of(const Requantization& item) {
    return item.from;
}
const TiledMatrix& target_of(const Quantization& item) {
    return item.q;
}
const TiledMatrix& target_of(const Requantization& item) {
    return item.to;
}

void check(const Quantization& item) {
    formats::require(item.q, {-1, -1}, "quantize_tiles: q");
    check_wide(item.x, item.q.codes.shape(), "quantize_tiles: x");
}
void check(const Requantization& item) {
    formats::require(item.to, {-1, -1}, "requantize_tiles: to");
    formats::require(item.from, item.to.codes.shape(), "requantize_tiles: from");
}

template <class Item>
void run(Context& context, std::span<const Item> list) {
    const Workspace::Scope scope(context.workspace);
    const auto grids = context.workspace.take<Grid>(int64_t(list.size()));
    int64_t tasks = 0, scratch_floats = 0;
    for (size_t i = 0; i < list.size(); ++i) {
        check(list[i]);
        const Shape& shape = target_of(list[i]).codes.shape();
        grids[i] = grid_of(shape, target_of(list[i]).tiling, tasks);
        tasks += tasks_of(shape, grids[i]);
        Tensor scale = target_of(list[i]).scale;                                 // a handle
        if (shape.count() == 0) std::ranges::fill(scale.values<float>(), 1.0f);  // of no element
        scratch_floats = std::max(
            scratch_floats, std::min(grids[i].band, shape[0]) * scratch_stride(grids[i].piece));
    }
    if (std::is_same_v<Item, Quantization> &&
        std::none_of(list.begin(), list.end(),
                     [](const Item& item) { return target_of(item).tiling.columns == 1; })) {
        scratch_floats = 0;  // values are read where they lie
    }
    const auto scratch = context.workspace.take<float>(scratch_floats * context.threads.size());
    context.threads.parallel_ranges(tasks, 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t task = begin; task < end; ++task) {
            const auto after = std::upper_bound(
                grids.begin(), grids.end(), task,
                [](int64_t index, const Grid& grid) { return index < grid.first_task; });
            const Item& item = list[size_t(after - grids.begin()) - 1];
            quantize_task(context.isa, source_of(item), target_of(item),
                          region_of(target_of(item).codes.shape(), *(after - 1), task),
                          scratch.data() + thread * scratch_floats);
        }
    });
}

}  // namespace

void quantize_tiles(Context& context, const Tensor& x, TiledMatrix& q) {
    const Quantization one{x, q};
    quantize_tiles(context, std::span(&one, 1));
}

void quantize_tiles(Context& context, std::span<const Quantization> list) {
    run(context, list);
}

void requantize_tiles(Context& context, const TiledMatrix& from, TiledMatrix& to) {
    const Requantization one{from, to};
    requantize_tiles(context, std::span(&one, 1));
}

void requantize_tiles(Context& context, std::span<const Requantization> list) {
    run(context, list);
}

void dequantize_tiles(Context& context, const TiledMatrix& x, Tensor& y) {
    formats::require(x, {-1, -1}, "dequantize_tiles: x");
    check_wide(y, x.codes.shape(), "dequantize_tiles: y");
    for_rows(context, "dequantize_tiles", y.dtype(), y.shape(),
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 if constexpr (!std::is_same_v<T, double>) {
                     for (int64_t i = begin; i < end; ++i) {
                         dequantize_part<isa>(x, i, 0, y.shape()[1], y.row<T>(i).data());
                     }
                 }
             });
}

void pack_e5m6(Context& context, const Tensor& x, Tensor& packed, Tensor& scale) {
    const auto [rows, columns] = x.shape<2>();
    check_wide(x, x.shape(), "pack_e5m6: x");
    require(packed, DType::u8, {rows, e5m6_row_bytes(columns)}, "pack_e5m6: packed");
    require(scale, DType::f32, formats::scale_shape(x.shape(), formats::kRowTiles),
            "pack_e5m6: scale");
    for_rows(context, "pack_e5m6", x.dtype(), x.shape(),
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 if constexpr (!std::is_same_v<T, double>) {
                     for (int64_t i = begin; i < end; ++i) {
                         cpu::pack_e5m6_row<isa>(x.row<T>(i).data(), kScaleBlock, columns,
                                                 packed.row<uint8_t>(i).data(),
                                                 scale.row<float>(i).data());
                     }
                 }
             });
}

void unpack_e5m6(Context& context, const Tensor& packed, const Tensor& scale, Tensor& y) {
    const auto [rows, columns] = y.shape<2>();
    check_wide(y, y.shape(), "unpack_e5m6: y");
    require(packed, DType::u8, {rows, e5m6_row_bytes(columns)}, "unpack_e5m6: packed");
    require(scale, DType::f32, formats::scale_shape(y.shape(), formats::kRowTiles),
            "unpack_e5m6: scale");
    for_rows(context, "unpack_e5m6", y.dtype(), y.shape(),
             [&]<Isa isa, class T>(int64_t begin, int64_t end) {
                 if constexpr (!std::is_same_v<T, double>) {
                     for (int64_t i = begin; i < end; ++i) {
                         cpu::unpack_e5m6_row<isa>(packed.row<uint8_t>(i).data(),
                                                   scale.row<float>(i).data(), kScaleBlock, columns,
                                                   y.row<T>(i).data());
                     }
                 }
             });
}

}  // namespace hadal::ops
