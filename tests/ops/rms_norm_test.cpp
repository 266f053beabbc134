#include "ops/rms_norm.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr double kEpsilon = 1e-6;

struct Case {
    int64_t tokens;
    int64_t hidden;
};
// None, one, primes, whole vectors, tails after whole vectors, several chunks of the weight's
// gradient.
constexpr Case kCases[] = {{0, 5}, {1, 1}, {3, 7}, {2, 64}, {5, 97}, {2, 576}, {150, 19}};
constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

DType statistic(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

/// Relative error of a float32 sum of n terms in at least 16 running sums, and of some ten
/// operations after it.
double statistic_error(DType dtype, int64_t n) {
    return (double(n) / 16 + 16) * test::unit_roundoff(statistic(dtype));
}

struct Inputs {
    Tensor x;   // [tokens, hidden]
    Tensor w;   // [hidden]
    Tensor dy;  // [tokens, hidden]

    Inputs(Case c, DType dtype)
        : x(test::random_tensor({c.tokens, c.hidden}, dtype, 1)),
          w(test::random_tensor({c.hidden}, dtype, 2)),
          dy(test::random_tensor({c.tokens, c.hidden}, dtype, 3)) {
        for (int64_t t = 0; t < c.tokens; ++t) {
            double sum = 0;
            for (int64_t i = 0; i < c.hidden; ++i) {
                sum += value_at(x, t * c.hidden + i) * value_at(x, t * c.hidden + i);
            }
            inverse_roots.push_back(1 / std::sqrt(sum / double(c.hidden) + kEpsilon));
        }
    }
    double inverse_root(int64_t t) const {
        return inverse_roots[size_t(t)];
    }

    std::vector<double> inverse_roots;
};

struct Forward {
    Tensor y;
    Tensor r;
};
Forward forward(Context& context, const Tensor& x, const Tensor& w) {
    Forward out{Tensor::zeros(x.shape(), x.dtype()),
                Tensor::zeros({x.shape()[0]}, statistic(x.dtype()))};
    ops::rms_norm(context, x, w, kEpsilon, out.y, out.r);
    return out;
}

Tensor input_gradient(Context& context, const Inputs& in, const Tensor& r) {
    Tensor dx = Tensor::zeros(in.x.shape(), in.x.dtype());
    ops::rms_norm_backward_input(context, in.dy, in.x, in.w, r, false, dx);
    return dx;
}

Tensor weight_gradient(Context& context, const Inputs& in, const Tensor& r) {
    Tensor dw = Tensor::zeros(in.w.shape(), statistic(in.x.dtype()));
    ops::rms_norm_backward_weight(context, in.dy, in.x, r, dw);
    return dw;
}

}  // namespace

TEST_CASE("rms_norm: agrees with float64 on every instruction set, type and ragged shape") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case c : kCases) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(c.tokens);
                CAPTURE(c.hidden);
                const Inputs in(c, dtype);
                const Forward out = forward(context, in.x, in.w);
                const auto expected = [&](int64_t i) {
                    return value_at(in.w, i % c.hidden) * value_at(in.x, i) *
                           in.inverse_root(i / c.hidden);
                };
                const double error = test::unit_roundoff(dtype) + statistic_error(dtype, c.hidden);
                test::check_close(out.y, expected,
                                  [&](int64_t i) { return error * std::abs(expected(i)); });
                test::check_close(
                    out.r, [&](int64_t t) { return in.inverse_root(t); },
                    [&](int64_t t) {
                        return statistic_error(dtype, c.hidden) * in.inverse_root(t);
                    });
            }
        }
    });
}

TEST_CASE("rms_norm: the input's gradient agrees with float64, alone and added") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case c : kCases) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(c.hidden);
                const Inputs in(c, dtype);
                const Forward out = forward(context, in.x, in.w);
                Tensor dx = test::random_tensor(in.x.shape(), dtype, 4);
                const Tensor before = dx.clone();
                ops::rms_norm_backward_input(context, in.dy, in.x, in.w, out.r, true, dx);
                double largest = 0;  // of the terms' absolute values: what rounding is relative to
                const auto expected = [&](int64_t i) {
                    const int64_t t = i / c.hidden;
                    const double r = in.inverse_root(t);
                    double mean = 0;
                    double absolute = 0;
                    for (int64_t j = 0; j < c.hidden; ++j) {
                        const int64_t at = t * c.hidden + j;
                        const double term =
                            value_at(in.w, j) * value_at(in.dy, at) * value_at(in.x, at) * r;
                        mean += term / double(c.hidden);
                        absolute += std::abs(term) / double(c.hidden);
                    }
                    const double direct = r * value_at(in.w, i % c.hidden) * value_at(in.dy, i);
                    const double normalised = r * r * value_at(in.x, i);
                    largest = std::abs(direct) + std::abs(normalised) * absolute +
                              std::abs(value_at(before, i));
                    return value_at(before, i) + direct - normalised * mean;
                };
                test::check_close(dx, expected, [&](int64_t i) {
                    const double value = std::abs(expected(i));
                    return test::unit_roundoff(dtype) * value +
                           4 * statistic_error(dtype, c.hidden) * largest;
                });
            }
        }
    });
}

TEST_CASE("rms_norm: gradients agree with central differences") {
    test::for_each_isa([](Context& context) {
        for (const Case c : {Case{3, 7}, Case{70, 5}}) {
            Inputs in(c, DType::f64);
            const Forward out = forward(context, in.x, in.w);
            const Tensor dx = input_gradient(context, in, out.r);
            const Tensor dw = weight_gradient(context, in, out.r);
            const auto loss = [&] { return test::dot(forward(context, in.x, in.w).y, in.dy); };
            test::check_gradient(in.x, dx, loss);
            test::check_gradient(in.w, dw, loss);
        }
    });
}

TEST_CASE("rms_norm: the weight's gradient adds to what is there, and nothing with no tokens") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case c : kCases) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(c.tokens);
                const Inputs in(c, dtype);
                const Forward out = forward(context, in.x, in.w);
                Tensor dw = test::random_tensor({c.hidden}, statistic(dtype), 5);
                const Tensor before = dw.clone();
                ops::rms_norm_backward_weight(context, in.dy, in.x, out.r, dw);
                double absolute = 0;
                const auto expected = [&](int64_t i) {
                    double sum = value_at(before, i);
                    absolute = std::abs(sum);
                    for (int64_t t = 0; t < c.tokens; ++t) {
                        const int64_t at = t * c.hidden + i;
                        const double term =
                            value_at(in.dy, at) * value_at(in.x, at) * in.inverse_root(t);
                        sum += term;
                        absolute += std::abs(term);
                    }
                    return sum;
                };
                const double error =
                    double(c.tokens + c.hidden / 16 + 20) * test::unit_roundoff(statistic(dtype));
                test::check_close(dw, expected, [&](int64_t i) {
                    expected(i);
                    return error * absolute;
                });
            }
        }
    });
}

TEST_CASE("rms_norm: a row's bits depend neither on its batch nor on the distance of rows") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            const Inputs in({7, 61}, dtype);
            const Forward together = forward(context, in.x, in.w);
            const Tensor dx = input_gradient(context, in, together.r);
            const Tensor gaps = test::with_gaps(in.x);
            CHECK(test::same_bits(forward(context, gaps, in.w).y, together.y));
            for (int64_t t = 0; t < 7; ++t) {
                const Forward alone = forward(context, in.x.rows(t, 1), in.w);
                CHECK(test::same_bits(alone.y, together.y.rows(t, 1)));
                Tensor dx_t = Tensor::zeros({1, 61}, dtype);
                ops::rms_norm_backward_input(context, in.dy.rows(t, 1), gaps.rows(t, 1), in.w,
                                             alone.r, false, dx_t);
                CHECK(test::same_bits(dx_t, dx.rows(t, 1)));
            }
        }
    });
}

TEST_CASE("rms_norm: results may overwrite their inputs") {
    test::for_each_isa([](Context& context) {
        const Inputs in({3, 37}, DType::bf16);
        const Forward out = forward(context, in.x, in.w);
        const Tensor dx = input_gradient(context, in, out.r);
        Tensor y = in.x.clone();
        Tensor r = out.r.clone();
        ops::rms_norm(context, y, in.w, kEpsilon, y, r);
        CHECK(test::same_bits(y, out.y));
        Tensor dy = in.dy.clone();
        ops::rms_norm_backward_input(context, dy, in.x, in.w, out.r, false, dy);
        CHECK(test::same_bits(dy, dx));
    });
}

TEST_CASE("rms_norm: bits do not depend on the number of threads") {
    test::check_thread_independence([](Context& context) -> std::vector<Tensor> {
        const Inputs in({300, 259}, DType::bf16);
        const Forward out = forward(context, in.x, in.w);
        return {out.y, out.r, input_gradient(context, in, out.r),
                weight_gradient(context, in, out.r)};
    });
}

TEST_CASE("rms_norm: a tensor of the wrong shape is refused by name") {
    test::OwnContext context;
    const Inputs in({2, 8}, DType::bf16);
    Tensor y = Tensor::zeros({2, 8}, DType::bf16);
    Tensor r = Tensor::zeros({3}, DType::f32);
    CHECK_THROWS_WITH_AS(ops::rms_norm(context, in.x, in.w, kEpsilon, y, r),
                         "rms_norm: r is [3] f32, should be [2] f32", Error);
}

}  // namespace hadal
