#include "ops/matmul_int4.h"

#include "ops/matmul_run.h"

namespace hadal::ops {

namespace {

cpu::MatmulProduct checked(const ProductInt4& product) {
    require(product.x, DType::bf16, {-1, -1}, "matmul: x");
    const auto [tokens, in] = product.x.shape<2>();
    const int64_t out = product.w.packed.shape()[0];
    formats::require(product.w, {out, in}, "matmul: w");
    require(product.y, product.y.dtype() == DType::f32 ? DType::f32 : DType::bf16, {tokens, out},
            "matmul: y");
    Tensor y = product.y;  // a handle: the memory is the caller's
    return {.a = {product.x.data(), product.x.row_stride(), true},
            .b = {product.w.packed.data(), product.w.packed.row_stride(), true,
                  product.w.scale.data_as<bf16>(), product.w.scale.row_stride()},
            .c = y.data(),
            .c_stride = y.row_stride(),
            .c_transposed = false,
            .add = product.add,
            .m = tokens,
            .n = out,
            .k = in};
}

void run(Context& context, std::span<const ProductInt4> list) {
    if (list.empty()) return;
    const Workspace::Scope scope(context.workspace);
    const DType out = list[0].y.dtype();
    const auto products = context.workspace.take<cpu::MatmulProduct>(int64_t(list.size()));
    for (size_t i = 0; i < list.size(); ++i) {
        if (list[i].y.dtype() != out) {
            throw Error(Error::Kind::internal, "matmul: the products of a list differ in type");
        }
        products[i] = checked(list[i]);
    }
    run_products(context, {.form = ProductForm::nt, .in = DType::bf16, .out = out}, products);
}

}  // namespace

void matmul_nt(Context& context, const Tensor& x, const Int4Matrix& w, Tensor& y) {
    const ProductInt4 product{x, w, y};
    run(context, {&product, 1});
}
void matmul_nt(Context& context, std::span<const ProductInt4> products) {
    run(context, products);
}

}  // namespace hadal::ops
