#include "ops/matmul.h"

#include <utility>

#include "ops/cpu/dispatch.h"
#include "ops/cpu/matmul.h"
#include "ops/matmul_plan.h"
#include "ops/matmul_run.h"

namespace hadal::ops {

namespace {

using Form = ProductForm;

cpu::MatmulProduct checked(Form form, bool add, const Product& product) {
    const Tensor& left = product.left;
    const Tensor& right = product.right;
    if (left.shape().rank() != 2 || right.shape().rank() != 2) {
        throw Error(Error::Kind::internal,
                    concat("matmul: operands must have two dimensions, not ", left.shape().text(),
                           " and ", right.shape().text()));
    }
    const auto [left_rows, left_columns] = left.shape<2>();
    const auto [right_rows, right_columns] = right.shape<2>();
    const int64_t m = form == Form::tn ? left_columns : left_rows;
    const int64_t k = form == Form::tn ? left_rows : left_columns;
    const int64_t n = form == Form::nt ? right_rows : right_columns;
    const Shape right_shape = form == Form::nt ? Shape{n, k} : Shape{k, n};
    require(right, left.dtype(), right_shape, "matmul: right operand");
    if (left.dtype() != DType::f64 && left.dtype() != DType::f32 && left.dtype() != DType::bf16) {
        throw Error(Error::Kind::internal, concat("matmul: no products of ", name(left.dtype())));
    }
    // A weight gradient is summed in float32 over many calls; elsewhere bf16 operands may leave
    // float32.
    const bool wide =
        left.dtype() == DType::bf16 && (form == Form::tn || product.result.dtype() == DType::f32);
    require(product.result, wide ? DType::f32 : left.dtype(), {m, n}, "matmul: result");
    Tensor result = product.result;  // a handle: the memory is the caller's result
    return {.a = {left.data(), left.row_stride(), form != Form::tn},
            .b = {right.data(), right.row_stride(), form == Form::nt},
            .c = result.data(),
            .c_stride = result.row_stride(),
            .c_transposed = false,
            .add = add,
            .m = m,
            .n = n,
            .k = k};
}

/// The kernel for an instruction set and types, and what it wants of the plan.
struct Choice {
    void (*kernel)(const cpu::MatmulProduct&, const cpu::MatmulTile&, cpu::MatmulScratch&);
    cpu::MatmulLimits (*limits)(const cpu::MatmulProduct&);
    bool streams_rows =
        false;  // rows are not packed: with few columns the larger operand belongs there
};

cpu::MatmulLimits plain_limits(const cpu::MatmulProduct&) {
    return {
        .m_step = 1, .n_step = 1, .m_most = 64, .n_most = 64, .least_cost = 1 << 20, .bytes = 0};
}

Choice choose(Isa isa, DType in, DType out) {
    if (in == DType::f64) return {cpu::matmul_plain<double, double>, plain_limits};
#if defined(__x86_64__)
    if (isa == Isa::amx && in == DType::bf16) {
        return {out == DType::bf16 ? cpu::matmul_amx_tile<bf16> : cpu::matmul_amx_tile<float>,
                cpu::matmul_amx_limits, true};
    }
#endif
    Choice choice{};
    cpu::with_isa(isa, [&]<Isa chosen>() {
        if (in == DType::f32) {
            choice = {cpu::matmul_tile<chosen, float, float>, cpu::matmul_limits<chosen, float>};
        } else {
            choice = {out == DType::f32 ? cpu::matmul_tile<chosen, bf16, float>
                                        : cpu::matmul_tile<chosen, bf16, bf16>,
                      cpu::matmul_limits<chosen, bf16>};
        }
    });
    return choice;
}

/// y = x·wᵀ of few rows becomes yᵀ = w·xᵀ.
void exchange_operands(cpu::MatmulProduct& product) {
    std::swap(product.a, product.b);
    std::swap(product.m, product.n);
    product.c_transposed = true;
}

/// Cuts the products, some into their exchanged form; the plan lives in the workspace.
MatmulPlan make_plan(Context& context, const Choice& choice, Form form,
                     std::span<cpu::MatmulProduct> products) {
    MatmulPlan plan(context.workspace, int64_t(products.size()));
    for (size_t i = 0; i < products.size(); ++i) {
        cpu::MatmulProduct& product = products[i];
        if (choice.streams_rows && form == Form::nt && product.m <= kFewRows) {
            exchange_operands(product);
        }
        plan.set(i, {product.m, product.n, product.k}, choice.limits(product));
    }
    plan.cut(tiles_wanted(context.threads.size(), form == Form::tn, plan.has_few_rows()));
    return plan;
}

void run(Context& context, Form form, bool add, std::span<const Product> list) {
    if (list.empty()) return;
    const Workspace::Scope scope(context.workspace);
    const ProductTypes types{form, list[0].left.dtype(), list[0].result.dtype()};
    const auto products = context.workspace.take<cpu::MatmulProduct>(int64_t(list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].left.dtype() != types.in || list[i].result.dtype() != types.out) {
            throw Error(Error::Kind::internal, "matmul: the products of a list differ in type");
        }
        products[i] = checked(form, add || list[i].add, list[i]);
    }
    run_products(context, types, products);
}

}  // namespace

void run_products(Context& context, const ProductTypes& types,
                  std::span<cpu::MatmulProduct> products) {
    const Choice choice = choose(context.isa, types.in, types.out);
    const Workspace::Scope scope(context.workspace);
    const MatmulPlan plan = make_plan(context, choice, types.form, products);
    const int threads = context.threads.size();
    const int64_t bytes = plan.scratch_bytes();
    const auto memory = context.workspace.take<std::byte>(bytes * threads);
    const auto scratch = context.workspace.take<cpu::MatmulScratch>(threads);
    for (int i = 0; i < threads; ++i) scratch[size_t(i)] = {.memory = memory.data() + i * bytes};
    context.threads.parallel_ranges(plan.count(), 1, [&](int64_t begin, int64_t end, int thread) {
        for (int64_t i = begin; i < end; ++i) {
            cpu::MatmulScratch& mine = scratch[size_t(thread)];
            const PlannedTile now = plan.at(i);
            const PlannedTile next = plan.at(i + threads);  // if all are equally fast
            mine.next_product = next.product < 0 ? nullptr : &products[size_t(next.product)];
            mine.next_tile = next.tile;
            choice.kernel(products[size_t(now.product)], now.tile, mine);
        }
    });
}

void matmul_nt(Context& context, const Tensor& x, const Tensor& w, Tensor& y) {
    const Product product{x, w, y};
    run(context, Form::nt, false, {&product, 1});
}
void matmul_nt(Context& context, std::span<const Product> products) {
    run(context, Form::nt, false, products);
}

void matmul_nn(Context& context, const Tensor& dy, const Tensor& w, Tensor& dx) {
    const Product product{dy, w, dx};
    run(context, Form::nn, false, {&product, 1});
}
void matmul_nn(Context& context, std::span<const Product> products) {
    run(context, Form::nn, false, products);
}
void matmul_nn_add(Context& context, const Tensor& dy, const Tensor& w, Tensor& dx) {
    const Product product{dy, w, dx};
    run(context, Form::nn, true, {&product, 1});
}
void matmul_nn_add(Context& context, std::span<const Product> products) {
    run(context, Form::nn, true, products);
}

void matmul_tn_add(Context& context, const Tensor& dy, const Tensor& x, Tensor& dw) {
    const Product product{dy, x, dw};
    run(context, Form::tn, true, {&product, 1});
}
void matmul_tn_add(Context& context, std::span<const Product> products) {
    run(context, Form::tn, true, products);
}

}  // namespace hadal::ops
