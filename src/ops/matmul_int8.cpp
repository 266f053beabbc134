#include "ops/matmul_int8.h"

#include <algorithm>

#include "ops/cpu/matmul_int8.h"
#include "ops/launch.h"
#include "ops/matmul_plan.h"

namespace hadal::ops {

namespace {

int64_t tiles_of(int64_t in) {
    return (in + kInt8RowTile - 1) / kInt8RowTile;
}

void require_rows(const Int8Rows& x, const Shape& shape, std::string_view what) {
    require(x.codes, DType::i8, shape, what);
    require(x.scale, DType::f32, {x.codes.shape()[0], tiles_of(x.codes.shape()[1])}, what);
}

cpu::Int8Product checked(const ProductInt8& product) {
    require_rows(product.x, {-1, -1}, "matmul: x");
    const auto [tokens, in] = product.x.codes.shape<2>();
    if (in % formats::kInt4Group != 0) {
        throw Error(Error::Kind::internal,
                    concat("matmul: ", in, " inputs of an integer weight, not whole groups of 32"));
    }
    require(product.w.packed, DType::i32, {-1, in * product.w.bits / 32}, "matmul: w");
    const int64_t out = product.w.packed.shape()[0];
    require(product.w.scale, DType::bf16, {out, in / formats::kInt4Group}, "matmul: w's scale");
    require(product.y, product.y.dtype() == DType::f32 ? DType::f32 : DType::bf16, {tokens, out},
            "matmul: y");
    Tensor y = product.y;  // a handle: the memory is the caller's
    return {.x = product.x.codes.data_as<int8_t>(),
            .x_stride = product.x.codes.row_stride(),
            .x_scale = product.x.scale.data_as<float>(),
            .x_scale_stride = product.x.scale.row_stride(),
            .w = reinterpret_cast<const uint8_t*>(product.w.packed.data()),
            .w_stride = product.w.packed.row_stride() * 4,
            .w_scale = product.w.scale.data_as<bf16>(),
            .w_scale_stride = product.w.scale.row_stride(),
            .bits = product.w.bits,
            .y = y.data(),
            .y_stride = y.row_stride(),
            .add = product.add,
            .tokens = tokens,
            .out = out,
            .in = in};
}

/// The kernel for an instruction set and a type of result, and what it wants of the plan.
struct Choice {
    void (*kernel)(const cpu::Int8Product&, const cpu::MatmulTile&, cpu::Int8Scratch&);
    cpu::MatmulLimits (*limits)(const cpu::Int8Product&);
};

Choice choose(Isa isa, DType out) {
    Choice choice{};
    cpu::with_matmul_isa(isa, [&]<Isa chosen>() {
        choice = {out == DType::f32 ? cpu::matmul_int8_tile<chosen, float>
                                    : cpu::matmul_int8_tile<chosen, bf16>,
                  cpu::matmul_int8_limits<chosen>};
    });
    return choice;
}

void run(Context& context, std::span<const ProductInt8> list) {
    if (list.empty()) return;
    const DType out = list[0].y.dtype();
    const Choice choice = choose(context.isa, out);
    const Workspace::Scope scope(context.workspace);
    const auto products = context.workspace.take<cpu::Int8Product>(int64_t(list.size()));
    MatmulPlan plan(context.workspace, int64_t(list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].y.dtype() != out) {
            throw Error(Error::Kind::internal, "matmul: the products of a list differ in type");
        }
        products[i] = checked(list[i]);
        plan.set(i, {products[i].out, products[i].tokens, products[i].in},
                 choice.limits(products[i]));
    }
    const int threads = context.threads.size();
    plan.cut(tiles_wanted(threads, false, plan.has_few_rows()));
    const int64_t bytes = plan.scratch_bytes();
    const auto memory = context.workspace.take<std::byte>(bytes * threads);
    const auto scratch = context.workspace.take<cpu::Int8Scratch>(threads);
    for (int i = 0; i < threads; ++i) scratch[size_t(i)] = {.memory = memory.data() + i * bytes};
    context.threads.parallel_ranges(plan.count(), 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; ++i) {
            cpu::Int8Scratch& mine = scratch[size_t(thread)];
            const PlannedTile now = plan.at(i);
            const PlannedTile next = plan.at(i + threads);  // if all are equally fast
            mine.next_product = next.product < 0 ? nullptr : &products[size_t(next.product)];
            mine.next_tile = next.tile;
            choice.kernel(products[size_t(now.product)], now.tile, mine);
        }
    });
}

}  // namespace

Int8Rows Int8Rows::uninitialized(int64_t rows, int64_t in) {
    return {Tensor::uninitialized({rows, in}, DType::i8),
            Tensor::uninitialized({rows, tiles_of(in)}, DType::f32)};
}

Int8Rows Int8Rows::take(Workspace& workspace, int64_t rows, int64_t in) {
    return {workspace.take({rows, in}, DType::i8),
            workspace.take({rows, tiles_of(in)}, DType::f32)};
}

Int8Rows Int8Rows::rows(int64_t begin, int64_t count) const {
    return {codes.rows(begin, count), scale.rows(begin, count)};
}

void quantize_rows_int8(Context& context, const Tensor& x, Int8Rows& q) {
    const Int8Quantization one{x, q};
    quantize_rows_int8(context, {&one, 1});
}

void quantize_rows_int8(Context& context, std::span<const Int8Quantization> list) {
    const Workspace::Scope scope(context.workspace);
    // Rows are numbered through the list: where each item's end.
    const auto ends = context.workspace.take<int64_t>(int64_t(list.size()));
    int64_t all_rows = 0, widest = 1;
    for (size_t i = 0; i < list.size(); ++i) {
        require(list[i].x, DType::bf16, {-1, -1}, "quantize_rows_int8: x");
        require_rows(list[i].q, list[i].x.shape(), "quantize_rows_int8: q");
        const auto [rows, in] = list[i].x.shape<2>();
        ends[i] = all_rows += rows;
        widest = std::max(widest, in);
    }
    cpu::with_isa(context.isa, [&]<Isa isa>() {
        const auto quantize = [&](int64_t begin, int64_t end, int) {
            auto item = size_t(std::ranges::upper_bound(ends, begin) - ends.begin());
            for (int64_t row = begin; row < end; ++item) {
                const Tensor& x = list[item].x;
                Int8Rows q = list[item].q;  // a handle: the memory is the caller's
                const int64_t first = ends[item] - x.shape()[0];
                for (; row < std::min(end, ends[item]); ++row) {
                    cpu::quantize_row_int8<isa>(x.row<bf16>(row - first).data(), x.shape()[1],
                                                q.codes.row<int8_t>(row - first).data(),
                                                q.scale.row<float>(row - first).data());
                }
            }
        };
        context.threads.parallel_ranges(all_rows, rows_per_task(widest), quantize);
    });
}

void matmul_nt(Context& context, const Int8Rows& x, const IntegerMatrix& w, Tensor& y) {
    const ProductInt8 product{x, w, y};
    run(context, {&product, 1});
}
void matmul_nt(Context& context, std::span<const ProductInt8> products) {
    run(context, products);
}

}  // namespace hadal::ops
