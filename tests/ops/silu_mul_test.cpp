#include "ops/silu_mul.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

struct Case {
    int64_t tokens;
    int64_t intermediate;
};
constexpr Case kCases[] = {{0, 5}, {1, 1}, {3, 7}, {2, 64}, {5, 97}, {2, 1408}};
constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

DType statistic(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

struct Inputs {
    Tensor gate;       // [tokens, intermediate]
    Tensor up;         // [tokens, intermediate]
    Tensor weight;     // [tokens], or empty
    Tensor d_product;  // [tokens, intermediate]

    Inputs(Case c, DType dtype, bool weighted)
        : gate(test::random_tensor({c.tokens, c.intermediate}, dtype, 1, 3)),
          up(test::random_tensor({c.tokens, c.intermediate}, dtype, 2)),
          d_product(test::random_tensor({c.tokens, c.intermediate}, dtype, 4)) {
        if (weighted) weight = test::random_tensor({c.tokens}, statistic(dtype), 3);
    }
    double weight_at(int64_t t) const {
        return weight.empty() ? 1 : value_at(weight, t);
    }
};

struct Gradients {
    Tensor gate;
    Tensor up;
    Tensor weight;
};
Tensor forward(Context& context, const Inputs& in) {
    Tensor product = Tensor::zeros(in.gate.shape(), in.gate.dtype());
    ops::silu_mul(context, in.gate, in.up, in.weight, product);
    return product;
}
Gradients backward(Context& context, const Inputs& in) {
    Gradients out{Tensor::zeros(in.gate.shape(), in.gate.dtype()),
                  Tensor::zeros(in.gate.shape(), in.gate.dtype()), Tensor()};
    if (!in.weight.empty()) out.weight = Tensor::zeros(in.weight.shape(), in.weight.dtype());
    ops::silu_mul_backward(context, in.d_product, {in.gate, in.up, in.weight},
                           {out.gate, out.up, out.weight});
    return out;
}

double logistic(double x) {
    return 1 / (1 + std::exp(-x));
}

}  // namespace

TEST_CASE("silu_mul: agrees with float64 on every instruction set, type and ragged shape") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case c : kCases) {
                for (const bool weighted : {false, true}) {
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(c.intermediate);
                    CAPTURE(weighted);
                    const Inputs in(c, dtype, weighted);
                    const auto expected = [&](int64_t i) {
                        const double g = value_at(in.gate, i);
                        return in.weight_at(i / c.intermediate) * g * logistic(g) *
                               value_at(in.up, i);
                    };
                    // exp 2 ulp, the addition, the division, three products: below 16 roundings.
                    const double error =
                        test::unit_roundoff(dtype) + 16 * test::unit_roundoff(statistic(dtype));
                    test::check_close(forward(context, in), expected,
                                      [&](int64_t i) { return error * std::abs(expected(i)); });
                }
            }
        }
    });
}

TEST_CASE("silu_mul: gradients agree with float64 on every instruction set and type") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case c : kCases) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(c.intermediate);
                const Inputs in(c, dtype, true);
                const Gradients out = backward(context, in);
                const double fine = 24 * test::unit_roundoff(statistic(dtype));
                const auto d_up = [&](int64_t i) {
                    const double g = value_at(in.gate, i);
                    return in.weight_at(i / c.intermediate) * value_at(in.d_product, i) * g *
                           logistic(g);
                };
                test::check_close(out.up, d_up, [&](int64_t i) {
                    return (test::unit_roundoff(dtype) + fine) * std::abs(d_up(i));
                });
                const auto slope = [&](double g) {
                    return logistic(g) * (1 + g * (1 - logistic(g)));
                };
                const auto d_gate = [&](int64_t i) {
                    return in.weight_at(i / c.intermediate) * value_at(in.d_product, i) *
                           value_at(in.up, i) * slope(value_at(in.gate, i));
                };
                test::check_close(out.gate, d_gate, [&](int64_t i) {
                    const double g = value_at(in.gate, i);
                    const double terms =  // the slope is a difference for negative g
                        std::abs(in.weight_at(i / c.intermediate) * value_at(in.d_product, i) *
                                 value_at(in.up, i)) *
                        (1 + std::abs(g));
                    return test::unit_roundoff(dtype) * std::abs(d_gate(i)) + fine * terms;
                });
                double absolute = 0;
                const auto d_weight = [&](int64_t t) {
                    double sum = 0;
                    absolute = 0;
                    for (int64_t i = t * c.intermediate; i < (t + 1) * c.intermediate; ++i) {
                        const double g = value_at(in.gate, i);
                        const double term =
                            value_at(in.d_product, i) * value_at(in.up, i) * g * logistic(g);
                        sum += term;
                        absolute += std::abs(term);
                    }
                    return sum;
                };
                test::check_close(out.weight, d_weight, [&](int64_t t) {
                    d_weight(t);
                    return (double(c.intermediate) / 16 + 24) *
                           test::unit_roundoff(statistic(dtype)) * absolute;
                });
            }
        }
    });
}

TEST_CASE("silu_mul: gradients agree with central differences") {
    test::for_each_isa([](Context& context) {
        Inputs in({3, 7}, DType::f64, true);
        const Gradients out = backward(context, in);
        const auto loss = [&] { return test::dot(forward(context, in), in.d_product); };
        test::check_gradient(in.gate, out.gate, loss);
        test::check_gradient(in.up, out.up, loss);
        test::check_gradient(in.weight, out.weight, loss);
    });
}

TEST_CASE("silu_mul: far gates give zero or the gate itself, never NaN") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : {DType::bf16, DType::f32}) {
            Inputs in({1, 4}, dtype, false);
            const double gates[] = {-3e38, -90, 90, 3e38};
            for (int64_t i = 0; i < 4; ++i) {
                test::set_at(in.gate, i, gates[i]);
                test::set_at(in.up, i, 0.5);
                test::set_at(in.d_product, i, 1);
            }
            const Tensor product = forward(context, in);
            const Gradients out = backward(context, in);
            CHECK(value_at(product, 0) == 0);
            CHECK(std::abs(value_at(product, 1)) < 1e-36);
            CHECK(value_at(product, 2) == 0.5 * value_at(in.gate, 2));
            CHECK(value_at(product, 3) == 0.5 * value_at(in.gate, 3));
            CHECK(value_at(out.gate, 0) == 0);
            CHECK(value_at(out.gate, 3) == 0.5);
            CHECK(value_at(out.up, 3) == value_at(in.gate, 3));
        }
    });
}

TEST_CASE("silu_mul: a row's bits do not depend on its batch, and results may overwrite inputs") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            const Inputs in({5, 53}, dtype, false);
            const Tensor together = forward(context, in);
            const Gradients gradients = backward(context, in);
            for (int64_t t = 0; t < 5; ++t) {
                Tensor alone = Tensor::zeros({1, 53}, dtype);
                ops::silu_mul(context, in.gate.rows(t, 1), test::with_gaps(in.up).rows(t, 1), {},
                              alone);
                CHECK(test::same_bits(alone, together.rows(t, 1)));
            }
            Tensor product = in.gate.clone();
            ops::silu_mul(context, product, in.up, {}, product);
            CHECK(test::same_bits(product, together));
            Tensor gate = in.gate.clone();
            Tensor up = in.up.clone();
            Tensor none;
            ops::silu_mul_backward(context, in.d_product, {gate, up, none}, {gate, up, none});
            CHECK(test::same_bits(gate, gradients.gate));
            CHECK(test::same_bits(up, gradients.up));
        }
    });
}

TEST_CASE("silu_mul: bits do not depend on the number of threads") {
    test::check_thread_independence([](Context& context) -> std::vector<Tensor> {
        const Inputs in({300, 257}, DType::bf16, true);
        const Gradients out = backward(context, in);
        return {forward(context, in), out.gate, out.up, out.weight};
    });
}

}  // namespace hadal
