#include "ops/adamw_step.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr ops::AdamwOptions kOptions{.learning_rate = 3e-3, .step = 3, .gradient_scale = 0.7};

struct State {
    Tensor gradient;
    Tensor master;
    Tensor m;
    Tensor v;
    Tensor parameter;

    State(int64_t n, DType dtype, DType parameter_type)
        : gradient(test::random_tensor({n}, dtype, 1)),
          master(test::random_tensor({n}, dtype, 2)),
          m(test::random_tensor({n}, dtype, 3, 0.1)),
          v(test::filled({n}, dtype,
                         [](int64_t i) { return std::abs(random_normal(4, 0, uint64_t(i))); })),
          parameter(Tensor::zeros({n}, parameter_type)) {}
    void step(Context& context, const ops::AdamwOptions& options) {
        ops::adamw_step(context, options, gradient, master, m, v, parameter);
    }
    std::vector<Tensor> tensors() const {
        return {gradient, master, m, v, parameter};
    }
};

}  // namespace

TEST_CASE("adamw_step: agrees with float64 on every instruction set, type and size") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : {DType::f32, DType::f64}) {
            for (const DType parameter : {DType::bf16, dtype}) {
                if (dtype == DType::f64 && parameter == DType::bf16) continue;
                for (const int64_t n : {0, 1, 7, 16, 97, 20011}) {
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(n);
                    const State before(n, dtype, parameter);
                    State after(n, dtype, parameter);
                    after.step(context, kOptions);
                    const ops::AdamwOptions& o = kOptions;
                    const double u = test::unit_roundoff(dtype);
                    const auto m = [&](int64_t i) {
                        return o.beta1 * value_at(before.m, i) +
                               (1 - o.beta1) * o.gradient_scale * value_at(before.gradient, i);
                    };
                    const auto v = [&](int64_t i) {
                        return o.beta2 * value_at(before.v, i) +
                               (1 - o.beta2) *
                                   std::pow(o.gradient_scale * value_at(before.gradient, i), 2);
                    };
                    // Every term: the factor's rounding, the gradient's scale (twice in v), the
                    // products, the sum.
                    const auto m_terms = [&](int64_t i) {
                        return std::abs(o.beta1 * value_at(before.m, i)) +
                               std::abs((1 - o.beta1) * o.gradient_scale *
                                        value_at(before.gradient, i));
                    };
                    test::check_close(after.m, m, [&](int64_t i) { return 5 * u * m_terms(i); });
                    test::check_close(after.v, v, [&](int64_t i) { return 8 * u * v(i); });
                    const double first = 1 - std::pow(o.beta1, 3);
                    const double second = 1 - std::pow(o.beta2, 3);
                    const auto denominator = [&](int64_t i) {
                        return std::sqrt(v(i) / second) + o.epsilon;
                    };
                    const auto master = [&](int64_t i) {
                        return value_at(before.master, i) * (1 - o.learning_rate * o.weight_decay) -
                               o.learning_rate * (m(i) / first) / denominator(i);
                    };
                    // The update: 5 u of m's terms, half of v's 8, and some six operations.
                    const auto bound = [&](int64_t i) {
                        return 3 * u * std::abs(value_at(before.master, i)) +
                               16 * u * o.learning_rate * m_terms(i) / first / denominator(i);
                    };
                    test::check_close(after.master, master, bound);
                    CHECK(test::same_bits(after.parameter, test::as(after.master, parameter)));
                    for (int64_t i = 0; i < n; ++i) REQUIRE(value_at(after.gradient, i) == 0);
                }
            }
        }
    });
}

TEST_CASE(
    "adamw_step: bf16 moments are the float32 ones rounded, and the update uses them before") {
    test::for_each_isa([](Context& context) {
        for (const DType parameter : {DType::bf16, DType::f32}) {
            for (const int64_t n : {0, 1, 7, 16, 97, 20011}) {
                CAPTURE(n);
                State rounded(n, DType::f32, parameter);
                rounded.m = test::as(rounded.m, DType::bf16);
                rounded.v = test::as(rounded.v, DType::bf16);
                State wide(n, DType::f32, parameter);
                wide.m = test::as(rounded.m, DType::f32);
                wide.v = test::as(rounded.v, DType::f32);
                rounded.step(context, kOptions);
                wide.step(context, kOptions);
                CHECK(test::same_bits(rounded.master, wide.master));
                CHECK(test::same_bits(rounded.parameter, wide.parameter));
                CHECK(test::same_bits(rounded.m, test::as(wide.m, DType::bf16)));
                CHECK(test::same_bits(rounded.v, test::as(wide.v, DType::bf16)));
                for (int64_t i = 0; i < n; ++i) REQUIRE(value_at(rounded.gradient, i) == 0);
            }
        }
    });
}

TEST_CASE("adamw_step: moments of different types, or of others than f32 and bf16, are refused") {
    test::for_each_isa([](Context& context) {
        State state(4, DType::f32, DType::f32);
        state.m = test::as(state.m, DType::bf16);
        CHECK_THROWS_WITH_AS(state.step(context, kOptions), doctest::Contains("adamw_step: v"),
                             Error);
        State wide(4, DType::f64, DType::f64);
        wide.m = test::as(wide.m, DType::bf16);
        wide.v = test::as(wide.v, DType::bf16);
        CHECK_THROWS_WITH_AS(wide.step(context, kOptions), doctest::Contains("adamw_step: m"),
                             Error);
    });
}

TEST_CASE("adamw_step: the parameter may be the master copy itself") {
    test::for_each_isa([](Context& context) {
        State apart(37, DType::f32, DType::f32);
        State together(37, DType::f32, DType::f32);
        together.parameter = together.master;
        apart.step(context, kOptions);
        together.step(context, kOptions);
        CHECK(test::same_bits(apart.master, together.master));
    });
}

TEST_CASE("adamw_step: without a gradient only the weight decay moves the parameter") {
    test::for_each_isa([](Context& context) {
        State state(33, DType::f32, DType::bf16);
        const Tensor before = state.master.clone();
        state.gradient.fill_zero();
        state.m.fill_zero();
        state.v.fill_zero();
        state.step(context, kOptions);
        for (int64_t i = 0; i < 33; ++i) {
            CHECK(value_at(state.master, i) ==
                  double(float(value_at(before, i)) * float(1 - 3e-3 * 0.1)));
        }
    });
}

TEST_CASE("adamw_step: the first step moves every parameter by the learning rate") {
    test::for_each_isa([](Context& context) {
        State state(33, DType::f64, DType::f64);
        const Tensor before = state.master.clone();
        const Tensor gradient = state.gradient.clone();
        state.m.fill_zero();
        state.v.fill_zero();
        state.step(context, {.learning_rate = 0.01, .weight_decay = 0, .step = 1});
        for (int64_t i = 0; i < 33; ++i) {
            const double moved = value_at(before, i) - value_at(state.master, i);
            CHECK(std::abs(moved - std::copysign(0.01, value_at(gradient, i))) < 1e-7);
        }
    });
}

TEST_CASE("adamw_step: bits depend neither on threads nor on how the parameters are cut") {
    test::check_thread_independence([](Context& context) -> std::vector<Tensor> {
        State state(100003, DType::f32, DType::bf16);
        state.step(context, kOptions);
        return state.tensors();
    });
    test::for_each_isa([](Context& context) {
        State whole(1000, DType::f32, DType::bf16);
        State cut(1000, DType::f32, DType::bf16);
        whole.step(context, kOptions);
        for (const auto& [begin, count] : {std::pair{0, 333}, std::pair{333, 667}}) {
            std::vector<Tensor> parts;
            for (const Tensor& tensor : cut.tensors()) parts.push_back(tensor.rows(begin, count));
            ops::adamw_step(context, kOptions, parts[0], parts[1], parts[2], parts[3], parts[4]);
        }
        CHECK(test::same_bits(whole.master, cut.master));
        CHECK(test::same_bits(whole.v, cut.v));
    });
}

}  // namespace hadal
