#include "ops/matmul_fp8.h"

#include <algorithm>

#include "ops/cpu/dispatch.h"
#include "ops/cpu/matmul_fp8.h"
#include "ops/matmul_plan.h"

namespace hadal::ops {

namespace {

enum class Form { nt, nn, tn };

cpu::Code code_of(DType dtype) {
    return dtype == DType::f8_e4m3   ? cpu::Code::e4m3
           : dtype == DType::f8_e5m2 ? cpu::Code::e5m2
                                     : cpu::Code::bf16;
}

/// `free` and `k` are its sizes; stored [free, k] or [k, free].
cpu::Fp8Operand operand(const TiledMatrix& x, bool k_contiguous) {
    const formats::Tiling& tiling = x.tiling;
    const int64_t rows = x.codes.shape()[0], columns = x.codes.shape()[1];
    const int64_t row_tile = tiling.rows == 0 ? std::max<int64_t>(1, rows) : tiling.rows;
    const int64_t column_tile =
        tiling.columns == 0 ? std::max<int64_t>(1, columns) : tiling.columns;
    cpu::Fp8Scales scales{x.scale.data_as<float>(), x.scale.row_stride(), 1, row_tile, column_tile};
    if (!k_contiguous) {
        std::swap(scales.free_stride, scales.k_stride);
        std::swap(scales.free_tile, scales.k_tile);
    }
    return {x.codes.data(), x.codes.row_stride(), k_contiguous, code_of(x.codes.dtype()), scales};
}

cpu::Fp8Operand unquantised(const Tensor& x) {
    return {x.data(), x.row_stride(), true, cpu::Code::bf16, {}};
}

/// How many values of k the operand has under one scale, cut to a block.
int64_t block_of(const TiledMatrix& x, bool k_contiguous) {
    const int64_t extent = k_contiguous ? x.tiling.columns : x.tiling.rows;
    if (extent == 32) return 32;
    if (extent % cpu::kMostBlock == 0) return cpu::kMostBlock;
    throw Error(Error::Kind::internal,
                concat("matmul: FP8 tiles of ", extent,
                       " along the summed dimension; 32 or a multiple of 128 is wanted"));
}

cpu::Fp8Product checked(Form form, bool add, const ProductFp8& product) {
    formats::require(product.left, {-1, -1}, "matmul: left operand");
    const auto [left_rows, left_columns] = product.left.codes.shape<2>();
    const int64_t m = form == Form::tn ? left_columns : left_rows;
    const int64_t k = form == Form::tn ? left_rows : left_columns;
    const bool nt = form == Form::nt;
    formats::require(product.right, nt ? Shape{-1, k} : Shape{k, -1}, "matmul: right operand");
    const int64_t n = product.right.codes.shape()[nt ? 0 : 1];
    const bool wide = form == Form::tn || product.result.dtype() == DType::f32;
    require(product.result, wide ? DType::f32 : DType::bf16, {m, n}, "matmul: result");
    Tensor result = product.result;  // a handle: the memory is the caller's result
    return {
        .a = operand(product.left, form != Form::tn),
        .b = operand(product.right, nt),
        .c = result.data(),
        .c_stride = result.row_stride(),
        .c_transposed = false,
        .add = add,
        .m = m,
        .n = n,
        .k = k,
        .block = std::min(block_of(product.left, form != Form::tn), block_of(product.right, nt))};
}

cpu::Fp8Product checked(Form, bool add, const ProductW8A16& product) {
    require(product.x, DType::bf16, {-1, -1}, "matmul: x");
    const auto [tokens, in] = product.x.shape<2>();
    formats::require(product.w, {-1, in}, "matmul: w");
    const int64_t out = product.w.codes.shape()[0];
    require(product.y, product.y.dtype() == DType::f32 ? DType::f32 : DType::bf16, {tokens, out},
            "matmul: y");
    Tensor y = product.y;  // a handle
    return {.a = unquantised(product.x),
            .b = operand(product.w, true),
            .c = y.data(),
            .c_stride = y.row_stride(),
            .c_transposed = false,
            .add = add,
            .m = tokens,
            .n = out,
            .k = in,
            .block = block_of(product.w, true)};
}

DType result_type(const ProductFp8& product) {
    return product.result.dtype();
}
DType result_type(const ProductW8A16& product) {
    return product.y.dtype();
}

/// The kernel for an instruction set and a type of result, and what it wants of the plan.
struct Choice {
    void (*kernel)(const cpu::Fp8Product&, const cpu::MatmulTile&, cpu::Fp8Scratch&);
    cpu::MatmulLimits (*limits)(const cpu::Fp8Product&);
    bool streams_rows = false;  // few rows: the larger operand belongs there, it is not transposed
};

Choice choose(Isa isa, DType out) {
#if defined(__x86_64__)
    if (isa == Isa::amx) {
        return {
            out == DType::bf16 ? cpu::matmul_fp8_amx_tile<bf16> : cpu::matmul_fp8_amx_tile<float>,
            cpu::matmul_fp8_amx_limits, true};
    }
#endif
    Choice choice{};
    cpu::with_isa(isa, [&]<Isa chosen>() {
        choice = {out == DType::f32 ? cpu::matmul_fp8_tile<chosen, float>
                                    : cpu::matmul_fp8_tile<chosen, bf16>,
                  cpu::matmul_fp8_limits<chosen>};
    });
    return choice;
}

/// y = x·wᵀ of few rows becomes yᵀ = w·xᵀ.
void exchange_operands(cpu::Fp8Product& product) {
    std::swap(product.a, product.b);
    std::swap(product.m, product.n);
    product.c_transposed = true;
}

template <class List>
void run(Context& context, Form form, bool add, const List& list) {
    if (list.empty()) return;
    const DType out = result_type(list[0]);
    const Choice choice = choose(context.isa, out);
    const Workspace::Scope scope(context.workspace);
    const auto products = context.workspace.take<cpu::Fp8Product>(int64_t(list.size()));
    MatmulPlan plan(context.workspace, int64_t(list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
        if (result_type(list[i]) != out) {
            throw Error(Error::Kind::internal, "matmul: the products of a list differ in type");
        }
        products[i] = checked(form, add || list[i].add, list[i]);
        if (choice.streams_rows && form == Form::nt && products[i].m <= kFewRows) {
            exchange_operands(products[i]);
        }
        plan.set(i, {products[i].m, products[i].n, products[i].k}, choice.limits(products[i]));
    }
    const int threads = context.threads.size();
    plan.cut(tiles_wanted(threads, form == Form::tn, plan.has_few_rows()));
    const int64_t bytes = plan.scratch_bytes();
    const auto memory = context.workspace.take<std::byte>(bytes * threads);
    const auto scratch = context.workspace.take<cpu::Fp8Scratch>(threads);
    for (int i = 0; i < threads; ++i) scratch[size_t(i)] = {.memory = memory.data() + i * bytes};
    context.threads.parallel_ranges(plan.count(), 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; ++i) {
            const PlannedTile now = plan.at(i);
            choice.kernel(products[size_t(now.product)], now.tile, scratch[size_t(thread)]);
        }
    });
}

void run_one(Context& context, Form form, bool add, const ProductFp8& product) {
    run(context, form, add, std::span(&product, 1));
}

}  // namespace

void matmul_nt(Context& context, const TiledMatrix& x, const TiledMatrix& w, Tensor& y) {
    run_one(context, Form::nt, false, {x, w, y});
}
void matmul_nt(Context& context, std::span<const ProductFp8> products) {
    run(context, Form::nt, false, products);
}

void matmul_nn(Context& context, const TiledMatrix& dy, const TiledMatrix& w, Tensor& dx) {
    run_one(context, Form::nn, false, {dy, w, dx});
}
void matmul_nn(Context& context, std::span<const ProductFp8> products) {
    run(context, Form::nn, false, products);
}
void matmul_nn_add(Context& context, const TiledMatrix& dy, const TiledMatrix& w, Tensor& dx) {
    run_one(context, Form::nn, true, {dy, w, dx});
}
void matmul_nn_add(Context& context, std::span<const ProductFp8> products) {
    run(context, Form::nn, true, products);
}

void matmul_tn_add(Context& context, const TiledMatrix& dy, const TiledMatrix& x, Tensor& dw) {
    run_one(context, Form::tn, true, {dy, x, dw});
}
void matmul_tn_add(Context& context, std::span<const ProductFp8> products) {
    run(context, Form::tn, true, products);
}

void matmul_nt(Context& context, const Tensor& x, const TiledMatrix& w, Tensor& y) {
    const ProductW8A16 product{x, w, y};
    run(context, Form::nt, false, std::span(&product, 1));
}
void matmul_nt(Context& context, std::span<const ProductW8A16> products) {
    run(context, Form::nt, false, products);
}

}  // namespace hadal::ops
