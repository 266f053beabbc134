#include "ops/matmul.h"

#include <algorithm>
#include <string_view>

#include "ops/cpu/dispatch.h"
#include "ops/cpu/matmul.h"

namespace hadal::ops {

namespace {

enum class Form { nt, nn, tn };

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
            .m = m,
            .n = n,
            .k = k,
            .add = add};
}

template <class In, class Out>
void run_plain(Context& context, const cpu::MatmulProduct& product) {
    context.threads.parallel_ranges(product.m, 1, [&](int64_t begin, int64_t end, int) {
        cpu::matmul_plain<In, Out>(product, {begin, end - begin, 0, product.n});
    });
}

void run(Context& context, Form form, bool add, std::span<const Product> products) {
    for (const Product& p : products) {
        const cpu::MatmulProduct product = checked(form, add, p);
        if (product.m == 0 || product.n == 0) continue;
        if (p.left.dtype() == DType::f64) {
            run_plain<double, double>(context, product);
        } else if (p.left.dtype() == DType::f32) {
            run_plain<float, float>(context, product);
        } else if (p.result.dtype() == DType::f32) {
            run_plain<bf16, float>(context, product);
        } else {
            run_plain<bf16, bf16>(context, product);
        }
    }
}

}  // namespace

void matmul_nt(Context& context, const Tensor& x, const Tensor& w, Tensor& y) {
    const Product product{x, w, y};
    run(context, Form::nt, false, {&product, 1});
}
void matmul_nt(Context& context, std::span<const Product> products) {
    run(context, Form::nt, false, products);
}
void matmul_nt_add(Context& context, const Tensor& x, const Tensor& w, Tensor& y) {
    const Product product{x, w, y};
    run(context, Form::nt, true, {&product, 1});
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
