#include "ops/cross_entropy.h"

#include <limits>

#include "ops/cpu/cross_entropy.h"
#include "ops/cpu/dispatch.h"
#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

struct Case {
    int64_t tokens;
    int64_t vocab;
};
constexpr Case kCases[] = {{0, 5}, {1, 1}, {3, 7}, {2, 64}, {5, 97}, {3, 4099}};

struct Result {
    Tensor loss;
    Tensor d_logits;
};
Result run(Context& context, const Tensor& logits, const Tensor& targets, DType gradient) {
    const Shape& shape = logits.shape();
    Result result{Tensor::zeros({shape[0]}, logits.dtype()), Tensor::zeros(shape, gradient)};
    ops::cross_entropy(context, logits, targets, 0.25, result.loss, result.d_logits);
    return result;
}

/// log Σ_v e^logits[t,v] of each row, in float64.
std::vector<double> log_sums(const Tensor& logits) {
    const auto [tokens, vocab] = logits.shape<2>();
    std::vector<double> result;
    for (int64_t t = 0; t < tokens; ++t) {
        double sum = 0;  // the logits here are far from overflow
        for (int64_t v = 0; v < vocab; ++v) sum += std::exp(value_at(logits, t * vocab + v));
        result.push_back(std::log(sum));
    }
    return result;
}

float exponential(Isa isa, float x) {
    float result = 0;
    ops::cpu::with_isa(isa, [&]<Isa set>() {
        result = ops::cpu::row_sum_of_exponentials<set, float>(&x, 1, 0.0f);
    });
    return result;
}

}  // namespace

TEST_CASE("exp: within 1.1 units in the last place, where half a unit is the best possible") {
    for (const Isa isa : available_isas()) {
        CAPTURE(std::string(name(isa)));
        double worst = 0;
        float worst_at = 0;
        for (float x = -87.3f; x < 88.7f; x += 0.00071f) {
            const double expected = std::exp(double(x));
            const double ulp = std::ldexp(1.0, std::ilogb(expected) - 23);
            const double error = std::abs(double(exponential(isa, x)) - expected) / ulp;
            if (error > worst) {
                worst = error;
                worst_at = x;
            }
        }
        CAPTURE(worst_at);
        CHECK(worst <= 1.1);
    }
}

TEST_CASE("exp: ends of the range, infinities and NaN") {
    constexpr float kInfinity = std::numeric_limits<float>::infinity();
    for (const Isa isa : available_isas()) {
        CAPTURE(std::string(name(isa)));
        CHECK(exponential(isa, 0.0f) == 1.0f);
        CHECK(exponential(isa, -0.0f) == 1.0f);
        CHECK(exponential(isa, 89.0f) == kInfinity);
        CHECK(exponential(isa, kInfinity) == kInfinity);
        CHECK(exponential(isa, 88.72f) < kInfinity);
        CHECK(exponential(isa, -104.5f) == 0.0f);
        CHECK(exponential(isa, -kInfinity) == 0.0f);
        CHECK(std::isnan(exponential(isa, std::nanf(""))));
        for (const float x : {-88.0f, -95.5f, -103.0f}) {  // subnormal results: units of 2^-149
            CHECK(std::abs(double(exponential(isa, x)) - std::exp(double(x))) <= 0x1.8p-149);
        }
    }
}

TEST_CASE("cross_entropy: agrees with float64 on every instruction set, type and ragged shape") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : {DType::f32, DType::f64}) {
            for (const DType gradient : {DType::bf16, dtype}) {
                if (dtype == DType::f64 && gradient == DType::bf16) continue;
                for (const Case c : kCases) {
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(std::string(name(gradient)));
                    CAPTURE(c.vocab);
                    const Tensor logits = test::random_tensor({c.tokens, c.vocab}, dtype, 1, 4);
                    const Tensor targets = test::random_ids({c.tokens}, c.vocab, 2);
                    const Result out = run(context, logits, targets, gradient);
                    const std::vector<double> log_sum = log_sums(logits);
                    const double u = test::unit_roundoff(dtype);
                    const auto loss = [&](int64_t t) {
                        const auto target = int64_t(value_at(targets, t));
                        return log_sum[size_t(t)] - value_at(logits, t * c.vocab + target);
                    };
                    // logits reach 16: x − max carries 2⁻²⁴·32 into each exponential.
                    const double sum_error = (double(c.vocab) / 16 + 48) * u;
                    test::check_close(out.loss, loss,
                                      [&](int64_t t) { return sum_error + u * std::abs(loss(t)); });
                    const auto d_logits = [&](int64_t i) {
                        const int64_t t = i / c.vocab;
                        const double p = std::exp(value_at(logits, i) - log_sum[size_t(t)]);
                        return 0.25 * (p - (i % c.vocab == int64_t(value_at(targets, t))));
                    };
                    test::check_close(out.d_logits, d_logits, [&](int64_t i) {
                        const double p =
                            std::exp(value_at(logits, i) - log_sum[size_t(i / c.vocab)]);
                        return test::unit_roundoff(gradient) * std::abs(d_logits(i)) +
                               0.25 * 2 * (sum_error * p + u);
                    });
                }
            }
        }
    });
}

TEST_CASE("cross_entropy: the gradient agrees with central differences") {
    test::for_each_isa([](Context& context) {
        Tensor logits = test::random_tensor({3, 11}, DType::f64, 1);
        Tensor targets = test::random_ids({3}, 11, 2);
        targets.data_as<int32_t>()[1] = -1;
        const Tensor d_logits = run(context, logits, targets, DType::f64).d_logits;
        test::check_gradient(logits, d_logits, [&] {
            const Tensor loss = run(context, logits, targets, DType::f64).loss;
            double sum = 0;
            for (int64_t t = 0; t < 3; ++t) sum += 0.25 * value_at(loss, t);
            return sum;
        });
    });
}

TEST_CASE("cross_entropy: a target of -1 costs nothing and has no gradient") {
    test::for_each_isa([](Context& context) {
        const Tensor logits = test::random_tensor({2, 21}, DType::f32, 1);
        Tensor targets = test::random_ids({2}, 21, 2);
        targets.data_as<int32_t>()[0] = -1;
        Tensor loss = test::random_tensor({2}, DType::f32, 3);
        Tensor d_logits = test::random_tensor({2, 21}, DType::bf16, 4);
        ops::cross_entropy(context, logits, targets, 1, loss, d_logits);
        CHECK(value_at(loss, 0) == 0);
        CHECK(value_at(loss, 1) > 0);
        for (int64_t v = 0; v < 21; ++v) CHECK(value_at(d_logits, v) == 0);
    });
}

TEST_CASE("cross_entropy: without a gradient the losses have the same bits") {
    test::for_each_isa([](Context& context) {
        const Tensor logits = test::random_tensor({4, 33}, DType::f32, 1);
        const Tensor targets = test::random_ids({4}, 33, 2);
        Tensor loss = Tensor::zeros({4}, DType::f32);
        Tensor none;
        ops::cross_entropy(context, logits, targets, 1, loss, none);
        CHECK(test::same_bits(loss, run(context, logits, targets, DType::bf16).loss));
    });
}

TEST_CASE("cross_entropy: large logits neither overflow nor lose a small loss") {
    test::for_each_isa([](Context& context) {
        Tensor logits = test::filled({1, 20}, DType::f32, [](int64_t) { return -3e38; });
        test::set_at(logits, 3, 1e4);
        test::set_at(logits, 4, 1e4 - 12);
        const Tensor targets = test::filled({1}, DType::i32, [](int64_t) { return 3; });
        const Result out = run(context, logits, targets, DType::f32);
        const double small = std::exp(-12.0);
        CHECK(std::abs(value_at(out.loss, 0) - std::log1p(small)) < 0x1p-23);
        CHECK(std::abs(value_at(out.d_logits, 4) - 0.25 * small / (1 + small)) < 1e-11);
    });
}

TEST_CASE("cross_entropy: a constant added to all logits of a row changes nothing") {
    test::for_each_isa([](Context& context) {
        for (const int64_t vocab : {3, 16, 21}) {
            const auto logit = [](int64_t i) { return double(i % 5) / 4; };
            const Tensor near = test::filled({2, vocab}, DType::f32, logit);
            const Tensor far =
                test::filled({2, vocab}, DType::f32, [&](int64_t i) { return logit(i) - 1024; });
            const Tensor targets = test::random_ids({2}, vocab, 2);
            const Result expected = run(context, near, targets, DType::f32);
            const Result out = run(context, far, targets, DType::f32);
            CHECK(test::same_bits(out.loss, expected.loss));
            CHECK(test::same_bits(out.d_logits, expected.d_logits));
        }
    });
}

TEST_CASE("cross_entropy: a target outside the vocabulary is refused") {
    test::OwnContext context;
    const Tensor logits = test::random_tensor({2, 5}, DType::f32, 1);
    Tensor loss = Tensor::zeros({2}, DType::f32);
    Tensor none;
    for (const int32_t bad : {5, -2}) {
        Tensor targets = Tensor::zeros({2}, DType::i32);
        targets.data_as<int32_t>()[1] = bad;
        try {
            ops::cross_entropy(context, logits, targets, 1, loss, none);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.kind() == Error::Kind::bad_input);
        }
    }
}

TEST_CASE("cross_entropy: bits depend neither on threads nor on the batch") {
    const Tensor logits = test::random_tensor({40, 2053}, DType::f32, 1, 3);
    const Tensor targets = test::random_ids({40}, 2053, 2);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        const Result out = run(context, logits, targets, DType::bf16);
        return {out.loss, out.d_logits};
    });
    test::for_each_isa([&](Context& context) {
        const Result out = run(context, logits, targets, DType::bf16);
        const Result one = run(context, logits.rows(17, 1), targets.rows(17, 1), DType::bf16);
        CHECK(test::same_bits(one.loss, out.loss.rows(17, 1)));
        CHECK(test::same_bits(one.d_logits, out.d_logits.rows(17, 1)));
    });
}

TEST_CASE("argmax: the largest logit of a row; the lowest id wins a tie") {
    test::for_each_isa([](Context& context) {
        for (const int64_t vocab : {1, 7, 16, 40, 4099}) {
            CAPTURE(vocab);
            Tensor logits = test::random_tensor({3, vocab}, DType::f32, uint64_t(vocab));
            for (int64_t t = 0; t < 3; ++t) {
                test::set_at(logits, t * vocab + vocab - 1, 50);
                test::set_at(logits, t * vocab + (vocab - 1) * t / 3, 50);
            }
            Tensor ids = Tensor::zeros({3}, DType::i32);
            ops::argmax(context, logits, ids);
            for (int64_t t = 0; t < 3; ++t) CHECK(value_at(ids, t) == double((vocab - 1) * t / 3));
        }
        // Lanes beyond the row's end hold zeros, which must not beat negative logits.
        Tensor negative =
            test::filled({1, 5}, DType::f32, [](int64_t i) { return double(-10 - i % 2); });
        test::set_at(negative, 0, -20);
        Tensor ids = Tensor::zeros({1}, DType::i32);
        ops::argmax(context, negative, ids);
        CHECK(value_at(ids, 0) == 2);
    });
}

}  // namespace hadal
