#include "ops/matmul.h"

#include <doctest/doctest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cmath>
#include <cstring>
#include <functional>
#include <vector>

#include "core/random.h"
#include "formats/bfloat16.h"
#include "ops/matmul_support.h"
#include "ops/support.h"

namespace hadal {

namespace {

using test::Form;

constexpr auto multiply = test::multiply<ops::Product>;

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

namespace {

bool same_rows(const Tensor& a, const Tensor& b) {
    const auto [rows, columns] = a.shape<2>();
    for (int64_t i = 0; i < rows; ++i) {
        const auto row = [&](const Tensor& x) {
            return x.data() + i * x.row_stride() * size_of(x.dtype());
        };
        if (std::memcmp(row(a), row(b), size_t(columns * size_of(a.dtype()))) != 0) return false;
    }
    return true;
}

/// The operand's rows begin … of the result: columns of a transposed left operand.
Tensor left_rows(const Tensor& left, Form form, int64_t begin, int64_t count) {
    return form == Form::tn ? left.columns(begin, count) : left.rows(begin, count);
}

constexpr Types kFastTypes[] = {
    {DType::bf16, DType::bf16}, {DType::bf16, DType::f32}, {DType::f32, DType::f32}};

/// body(context, form) for every instruction set and the forms that activations take.
void for_each_forward_form(const std::function<void(Context&, Form)>& body) {
    test::for_each_isa([&](Context& context) {
        for (const Form form : {Form::nt, Form::nn}) {
            CAPTURE(int(form));
            body(context, form);
        }
    });
}

}  // namespace

TEST_CASE("matmul: a row's bits depend neither on the other rows nor on its position") {
    constexpr int64_t kRows = 67, kColumns = 293, kInner = 1111;  // tails everywhere, k is cut
    ThreadPool threads(2);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        Context context{threads, workspace, isa};
        for (const Types types : kFastTypes) {
            for (const Form form : kForms) {
                if (form == Form::tn && types.out == DType::bf16) continue;
                auto whole = random_product(form, types, kRows, kColumns, kInner, 1, 7);
                const Tensor before = whole.result.clone();
                multiply(context, form, false, {&whole, 1});
                for (const auto& [begin, count] : {std::array<int64_t, 2>{0, 1},
                                                   {66, 1},
                                                   {13, 2},
                                                   {5, 7},
                                                   {20, 16},
                                                   {31, 17},
                                                   {2, 32},
                                                   {34, 33},
                                                   {0, 48}}) {
                    CAPTURE(name(isa));
                    CAPTURE(name(types.in));
                    CAPTURE(name(types.out));
                    CAPTURE(int(form));
                    CAPTURE(begin);
                    CAPTURE(count);
                    const ops::Product part{left_rows(whole.left, form, begin, count), whole.right,
                                            before.rows(begin, count).clone()};
                    multiply(context, form, false, {&part, 1});
                    CHECK(same_rows(part.result, whole.result.rows(begin, count)));
                }
            }
        }
    }
}

TEST_CASE("matmul: a column's bits depend neither on the other columns nor on its position") {
    constexpr int64_t kRows = 5, kColumns = 523, kInner = 777;
    ThreadPool threads(1);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        Context context{threads, workspace, isa};
        for (const Types types : kFastTypes) {
            for (const int64_t rows : {int64_t(1), kRows, 12 * kRows}) {
                const auto whole = random_product(Form::nt, types, rows, kColumns, kInner, 0, 11);
                multiply(context, Form::nt, false, {&whole, 1});
                for (const auto& [begin, count] :
                     {std::array<int64_t, 2>{0, 1}, {522, 1}, {65, 2}, {100, 31}, {255, 100}}) {
                    CAPTURE(name(isa));
                    CAPTURE(name(types.in));
                    CAPTURE(rows);
                    CAPTURE(begin);
                    const ops::Product part{whole.left, whole.right.rows(begin, count),
                                            Tensor::zeros({rows, count}, types.out)};
                    multiply(context, Form::nt, false, {&part, 1});
                    CHECK(same_rows(part.result, whole.result.columns(begin, count)));
                }
            }
        }
    }
}

TEST_CASE("matmul: a ragged list gives the bits of its products alone, for any thread count") {
    constexpr int64_t kTokens[] = {3, 0, 129, 1, 64, 0, 37, 300};
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        for (const Types types : kFastTypes) {
            for (const Form form : kForms) {
                if (form == Form::tn && types.out == DType::bf16) continue;
                std::vector<ops::Product> alone;
                uint64_t seed = 100;
                ThreadPool one(1);
                Context context{one, workspace, isa};
                for (const int64_t tokens : kTokens) {
                    const bool tn = form == Form::tn;
                    alone.push_back(random_product(form, types, tn ? 70 : tokens, 133,
                                                   tn ? tokens : 70, 0, seed += 3));
                }
                std::vector<ops::Product> lists[3];
                for (auto& list : lists) {
                    for (const ops::Product& product : alone) {
                        list.push_back({product.left, product.right, product.result.clone()});
                    }
                }
                for (const ops::Product& product : alone) {
                    multiply(context, form, false, {&product, 1});
                }
                for (const int i : {0, 1, 2}) {
                    CAPTURE(name(isa));
                    CAPTURE(name(types.in));
                    CAPTURE(int(form));
                    ThreadPool threads(1 << i);
                    Context many{threads, workspace, isa};
                    multiply(many, form, false, lists[i]);
                    for (size_t e = 0; e < alone.size(); ++e) {
                        CAPTURE(e);
                        CHECK(same_rows(lists[i][e].result, alone[e].result));
                    }
                }
            }
        }
    }
}

TEST_CASE("matmul: all sets that have fused multiply-add agree on the bits of f32") {
    ThreadPool threads(1);
    Workspace workspace;
    for (const Form form : kForms) {
        const auto product = random_product(form, {DType::f32, DType::f32}, 29, 150, 301, 0, 3);
        const Tensor before = product.result.clone();
        Tensor expected;
        for (const Isa isa : available_isas()) {
            if (isa == Isa::portable) continue;
            CAPTURE(name(isa));
            CAPTURE(int(form));
            Context context{threads, workspace, isa};
            ops::Product again = product;
            again.result = before.clone();
            multiply(context, form, false, {&again, 1});
            if (expected.empty()) expected = again.result;
            CHECK(same_rows(again.result, expected));
        }
    }
}

TEST_CASE("matmul: nothing behind a row's end is read, a mapped file may end there") {
    const int64_t page = sysconf(_SC_PAGESIZE);
    // Three pages, the last one unreadable: operands end with the second.
    auto* memory = static_cast<std::byte*>(mmap(nullptr, size_t(3 * page), PROT_READ | PROT_WRITE,
                                                MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    REQUIRE(memory != MAP_FAILED);
    REQUIRE(mprotect(memory + 2 * page, size_t(page), PROT_NONE) == 0);
    ThreadPool threads(1);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        Context context{threads, workspace, isa};
        for (const Types types : kFastTypes) {
            for (const Form form : kForms) {
                if (form == Form::tn && types.out == DType::bf16) continue;
                for (const auto& [m, n, k] :
                     {std::array<int64_t, 3>{1, 17, 37}, {3, 9, 50}, {33, 31, 21}, {8, 40, 31}}) {
                    CAPTURE(name(isa));
                    CAPTURE(name(types.in));
                    CAPTURE(int(form));
                    CAPTURE(m);
                    const auto product = random_product(form, types, m, n, k, 0, 5);
                    multiply(context, form, false, {&product, 1});
                    for (const bool left : {true, false}) {
                        auto at_end = random_product(form, types, m, n, k, 0, 5);
                        Tensor& operand = left ? at_end.left : at_end.right;
                        const Tensor edge = Tensor::over(memory + 2 * page - operand.bytes(),
                                                         operand.shape(), types.in, nullptr);
                        Tensor writable = edge;
                        writable.copy_from(operand);
                        operand = edge;
                        multiply(context, form, false, {&at_end, 1});
                        CHECK(same_rows(at_end.result, product.result));
                    }
                }
            }
        }
    }
    munmap(memory, size_t(3 * page));
}

TEST_CASE("matmul: the accumulating forms add once, and no tokens leave a gradient as it is") {
    ThreadPool threads(1);
    Workspace workspace;
    for (const Isa isa : available_isas()) {
        CAPTURE(name(isa));
        Context context{threads, workspace, isa};
        auto product = random_product(Form::tn, {DType::bf16, DType::f32}, 19, 23, 0, 0, 1);
        const Tensor before = product.result.clone();
        ops::matmul_tn_add(context, product.left, product.right, product.result);
        CHECK(same_rows(product.result, before));
        // 1 + 2⁻⁸ lies between two bf16 and would round back to 1 each time: twice it is a whole
        // unit.
        Tensor x = Tensor::zeros({1, 2}, DType::bf16), w = Tensor::zeros({1, 2}, DType::bf16);
        Tensor y = Tensor::zeros({1, 1}, DType::bf16);
        set_at(y, 0, 0, 1);
        for (const int64_t k : {0, 1}) {
            set_at(x, 0, k, 1);
            set_at(w, 0, k, 0x1p-8);
        }
        const ops::Product sum{x, w, y, /*add=*/true};
        ops::matmul_nt(context, {&sum, 1});
        CHECK(value_at(y, 0, 0) == 1 + 0x1p-7);
    }
}

TEST_CASE("matmul: a product of a list adds if it says so") {
    for_each_forward_form([](Context& context, Form form) {
        std::vector<ops::Product> list;
        std::vector<Tensor> before;
        for (const int64_t rows : {1, 3, 40}) {
            list.push_back(
                random_product(form, {DType::bf16, DType::bf16}, rows, 70, 130, 0, uint64_t(rows)));
            list.back().add = rows != 3;
            before.push_back(list.back().result.clone());
        }
        multiply(context, form, false, list);
        for (size_t i = 0; i < list.size(); ++i) {
            CHECK(worst_error(form, list[i].add, list[i], before[i]) <= 1);
        }
    });
}

TEST_CASE("matmul: subnormal numbers give a row the same bits alone and among others") {
    for_each_forward_form([](Context& context, Form form) {
        auto whole = random_product(form, {DType::bf16, DType::f32}, 37, 70, 96, 0, 3);
        const auto shrink = [](Tensor& x, int64_t i, int64_t j, int exponent) {
            set_at(x, i, j, std::ldexp(value_at(x, i, j), exponent));
        };
        // Operands, and products, around the least normal number; every third is zero.
        for (int64_t k = 0; k < 96; k += 3) {
            for (int64_t i = 0; i < 37; ++i) {
                shrink(whole.left, i, k, -126);
                shrink(whole.left, i, k + 1, -64);
                set_at(whole.left, i, k + 2, 0);
            }
            for (int64_t j = 0; j < 70; ++j) {
                const bool nt = form == Form::nt;
                shrink(whole.right, nt ? j : k + 1, nt ? k + 1 : j, -63);
            }
        }
        multiply(context, form, false, {&whole, 1});
        for (const int64_t count : {1, 2, 3, 4, 9}) {
            CAPTURE(count);
            const ops::Product part{whole.left.rows(5, count), whole.right,
                                    Tensor::zeros({count, 70}, DType::f32)};
            multiply(context, form, false, {&part, 1});
            CHECK(same_rows(part.result, whole.result.rows(5, count)));
        }
    });
}

TEST_CASE("matmul: operands that do not fit are refused with their shapes") {
    ThreadPool threads(1);
    Workspace workspace;
    Context context{threads, workspace};
    const Tensor x = Tensor::zeros({2, 3}, DType::f32), w = Tensor::zeros({5, 4}, DType::f32);
    Tensor y = Tensor::zeros({2, 5}, DType::f32);
    CHECK_THROWS_AS(ops::matmul_nt(context, x, w, y), Error);
    const Tensor fits = Tensor::zeros({5, 3}, DType::f32);
    Tensor narrow = Tensor::zeros({2, 5}, DType::bf16);
    CHECK_THROWS_AS(ops::matmul_nt(context, x, fits, narrow), Error);
    const Tensor cube = Tensor::zeros({5, 3, 1}, DType::f32);
    CHECK_THROWS_AS(ops::matmul_nt(context, x, cube, y), Error);
}

}  // namespace hadal
