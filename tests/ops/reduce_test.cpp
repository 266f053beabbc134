#include "ops/reduce.h"

#include <limits>

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

}  // namespace

TEST_CASE("sum_of_squares: agrees with a sum in long double for every type and size") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const int64_t n : {0, 1, 7, 16, 97, 70001, 200003}) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(n);
                const Tensor x = test::random_tensor({n}, dtype, 1);
                long double expected = 0;
                for (int64_t i = 0; i < n; ++i) {
                    expected += static_cast<long double>(value_at(x, i)) * value_at(x, i);
                }
                const double error = std::abs(double(ops::sum_of_squares(context, x) - expected));
                CHECK(error <= 65600 * 0x1p-53 * double(expected));
            }
        }
    });
}

TEST_CASE("sum_of_squares: huge and tiny float32 values neither overflow nor vanish") {
    test::for_each_isa([](Context& context) {
        const Tensor huge = test::filled({5}, DType::f32, [](int64_t) { return 0x1p120; });
        CHECK(ops::sum_of_squares(context, huge) == 5 * 0x1p240);
        const Tensor tiny = test::filled({5}, DType::f32, [](int64_t) { return 0x1p-100; });
        CHECK(ops::sum_of_squares(context, tiny) == 5 * 0x1p-200);
    });
}

TEST_CASE("sum_of_squares: bits do not depend on the number of threads") {
    const Tensor x = test::random_tensor({500009}, DType::f32, 1);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        const double sum = ops::sum_of_squares(context, x);
        return {test::filled({1}, DType::f64, [&](int64_t) { return sum; })};
    });
}

TEST_CASE("all_finite: finds one infinity or NaN anywhere") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : {DType::bf16, DType::f32, DType::f64, DType::f16}) {
            Tensor x = test::random_tensor({40007}, dtype, 1);
            test::set_at(x, 5, dtype == DType::f16 ? 65504 : 3e38);
            CHECK(ops::all_finite(context, x));
            for (const int64_t place : {0, 15, 16385, 40006}) {
                for (const double bad :
                     {std::numeric_limits<double>::infinity(), -HUGE_VAL, std::nan("")}) {
                    const double kept = value_at(x, place);
                    test::set_at(x, place, bad);
                    CHECK_FALSE(ops::all_finite(context, x));
                    test::set_at(x, place, kept);
                }
            }
        }
        CHECK(ops::all_finite(context, Tensor()));
    });
}

TEST_CASE("add: one rounding of the exact sum") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const int64_t columns : {1, 7, 64, 97}) {
                const Tensor x = test::random_tensor({3, columns}, dtype, 1);
                const Tensor y = test::random_tensor({3, columns}, dtype, 2);
                const Tensor expected = test::filled({3, columns}, dtype, [&](int64_t i) {
                    return value_at(x, i) + value_at(y, i);
                });
                Tensor sum = y.clone();
                ops::add(context, x, sum);
                CHECK(test::same_bits(sum, expected));
                Tensor gaps = test::with_gaps(y);
                ops::add(context, x, gaps);
                CHECK(test::same_bits(gaps, expected));
            }
        }
        Tensor none = Tensor::zeros({0, 4}, DType::bf16);
        ops::add(context, none, none);
    });
}

}  // namespace hadal
