#include "ops/rms_norm_tiles.h"

#include <algorithm>

#include "ops/cpu/rms_norm.h"
#include "ops/launch.h"
#include "ops/tile_rows.h"

namespace hadal::ops {

void rms_norm_tiles(Context& context, const Tensor& x, const Tensor& w, double epsilon, Tensor& y,
                    formats::TiledMatrix& codes, Tensor& r) {
    constexpr int64_t kRows = 8;  // at a time
    const auto [tokens, hidden] = x.shape<2>();
    require(x, DType::bf16, {tokens, hidden}, "rms_norm_tiles: x");
    require(w, DType::bf16, {hidden}, "rms_norm_tiles: w");
    if (!y.empty()) require(y, DType::bf16, {tokens, hidden}, "rms_norm_tiles: y");
    require(r, DType::f32, {tokens}, "rms_norm_tiles: r");
    formats::require(codes, {tokens, hidden}, "rms_norm_tiles: codes");
    if (codes.tiling.rows != 1) {
        throw Error(Error::Kind::internal, "rms_norm_tiles: tiles of one row are wanted");
    }
    const TileRows to(codes);
    const Workspace::Scope scope(context.workspace);
    const int64_t stride = y.empty() ? (hidden + 31) / 32 * 32 : y.row_stride();
    const auto scratch = context.workspace.take<bf16>(
        y.empty() ? kRows * stride * int64_t(context.threads.size()) : 0);
    const auto run = [&, width = hidden]<Isa isa>(int64_t begin, int64_t end, int thread) {
        for (int64_t t = begin; t < end; t += kRows) {
            bf16* rows = y.empty() ? scratch.data() + thread * kRows * stride
                                   : y.data_as<bf16>() + t * stride;
            const int64_t count = std::min(kRows, end - t);
            cpu::rms_norm_rows<isa, bf16>({.x = x.data_as<bf16>() + t * x.row_stride(),
                                           .x_stride = x.row_stride(),
                                           .w = w.data_as<bf16>(),
                                           .epsilon = epsilon,
                                           .y = rows,
                                           .y_stride = stride,
                                           .r = r.data_as<float>() + t,
                                           .hidden = width},
                                          0, count);
            to.quantize<isa>(rows, stride, t, count);
        }
    };
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        context.threads.parallel_ranges(tokens, std::max(kRows, rows_per_task(hidden)),
                                        [&](int64_t begin, int64_t end, int thread) {
                                            run.template operator()<isa>(begin, end, thread);
                                        });
    });
}

}  // namespace hadal::ops
