#include "ops/matmul.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/random.h"
#include "formats/bfloat16.h"

namespace hadal {

namespace {

enum class Form { nt, nn, tn };

double value_at(const Tensor& x, int64_t i, int64_t j) {
    if (x.dtype() == DType::bf16) return to_float(x.row<bf16>(i)[size_t(j)]);
    if (x.dtype() == DType::f32) return x.row<float>(i)[size_t(j)];
    return x.row<double>(i)[size_t(j)];
}

void set_at(Tensor& x, int64_t i, int64_t j, double value) {
    if (x.dtype() == DType::bf16) {
        x.row<bf16>(i)[size_t(j)] = to_bf16(float(value));
    } else if (x.dtype() == DType::f32) {
        x.row<float>(i)[size_t(j)] = float(value);
    } else {
        x.row<double>(i)[size_t(j)] = value;
    }
}

/// Rows that lie `spare` elements apart; what lies between them is NaN, which no product may touch.
Tensor random_matrix(int64_t rows, int64_t columns, DType dtype, uint64_t seed, int64_t spare = 0) {
    Tensor whole = Tensor::zeros({rows, columns + spare}, dtype);
    for (int64_t i = 0; i < rows; ++i) {
        for (int64_t j = 0; j < columns + spare; ++j) {
            const double value = random_normal(seed, uint64_t(i), uint64_t(j));
            set_at(whole, i, j, j < columns ? value : std::nan(""));
        }
    }
    return whole.columns(0, columns);
}

void multiply(Context& context, Form form, bool add, std::span<const ops::Product> products) {
    if (form == Form::nt && add) {
        for (ops::Product p : products) ops::matmul_nt_add(context, p.left, p.right, p.result);
    } else if (form == Form::nt) {
        ops::matmul_nt(context, products);
    } else if (form == Form::nn && add) {
        ops::matmul_nn_add(context, products);
    } else if (form == Form::nn) {
        ops::matmul_nn(context, products);
    } else {
        ops::matmul_tn_add(context, products);
    }
}

struct Types {
    DType in;
    DType out;
};

ops::Product random_product(Form form, Types types, int64_t m, int64_t n, int64_t k, int64_t spare,
                            uint64_t seed) {
    const bool tn = form == Form::tn, nt = form == Form::nt;
    return {random_matrix(tn ? k : m, tn ? m : k, types.in, seed, spare),
            random_matrix(nt ? n : k, nt ? k : n, types.in, seed + 1, spare),
            random_matrix(m, n, types.out, seed + 2, spare)};
}

/// The largest distance to a float64 sum, in units of what rounding may cost: Σ|a·b| in float32,
/// then the result's type.
double worst_error(Form form, bool add, const ops::Product& product, const Tensor& before) {
    const auto [m, n] = product.result.shape<2>();
    const bool tn = form == Form::tn, nt = form == Form::nt;
    const int64_t k = product.left.shape()[tn ? 0 : 1];
    const DType out = product.result.dtype();
    const double half_unit = out == DType::bf16 ? 0x1p-8 : out == DType::f32 ? 0x1p-24 : 0x1p-53;
    const double sum_unit = out == DType::f64 ? 0x1p-53 : 0x1p-24;
    double worst = 0;
    for (int64_t i = 0; i < m; ++i) {
        for (int64_t j = 0; j < n; ++j) {
            double sum = add ? value_at(before, i, j) : 0;
            double size = std::abs(sum);
            for (int64_t l = 0; l < k; ++l) {
                const double term = value_at(product.left, tn ? l : i, tn ? i : l) *
                                    value_at(product.right, nt ? j : l, nt ? l : j);
                sum += term;
                size += std::abs(term);
            }
            const double allowed =
                half_unit * std::abs(sum) + sum_unit * (2 + double(k)) * size + 1e-300;
            const double error = std::abs(value_at(product.result, i, j) - sum) / allowed;
            worst = std::isnan(error) ? 1e300 : std::max(worst, error);
        }
    }
    return worst;
}

constexpr Types kTypes[] = {{DType::bf16, DType::bf16},
                            {DType::bf16, DType::f32},
                            {DType::f32, DType::f32},
                            {DType::f64, DType::f64}};
constexpr Form kForms[] = {Form::nt, Form::nn, Form::tn};

}  // namespace

TEST_CASE("matmul: every form, type and instruction set gives the float64 sum, to rounding") {
    constexpr int64_t kShapes[][3] = {{1, 1, 1},    {0, 5, 3},     {1, 37, 64},
                                      {2, 64, 33},  {5, 16, 0},    {7, 65, 129},
                                      {17, 31, 47}, {48, 96, 128}, {131, 67, 259}};
    ThreadPool threads(2);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        Context context{threads, workspace, isa};
        for (const Types types : kTypes) {
            for (const Form form : kForms) {
                if (form == Form::tn && types.out == DType::bf16) continue;
                for (const auto& [m, n, k] : kShapes) {
                    for (const bool add : {false, true}) {
                        if (form == Form::tn && !add) continue;
                        for (const int64_t spare : {int64_t(0), int64_t(3)}) {
                            CAPTURE(name(isa));
                            CAPTURE(name(types.in));
                            CAPTURE(name(types.out));
                            CAPTURE(int(form));
                            CAPTURE(add);
                            CAPTURE(spare);
                            CAPTURE(m);
                            CAPTURE(n);
                            CAPTURE(k);
                            const auto product =
                                random_product(form, types, m, n, k, spare, uint64_t(m + n + k));
                            const Tensor before = product.result.clone();
                            multiply(context, form, add, {&product, 1});
                            CHECK(worst_error(form, add, product, before) < 1);
                        }
                    }
                }
            }
        }
    }
}

}  // namespace hadal
