#include "ops/rotary.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

struct Case {
    int64_t tokens;
    ops::RotaryLayout layout;
};
// Keys of one head, queries behind their nope part, odd numbers of pairs, whole vectors and tails.
constexpr Case kCases[] = {{0, {2, 8, 4, 4}},
                           {1, {1, 2, 0, 2}},
                           {3, {5, 13, 3, 10}},
                           {4, {2, 96, 32, 64}},
                           {2, {3, 200, 100, 66}}};
constexpr int64_t kPositions = 50;

/// cos, sin of an angle of its own for every position and pair.
Tensor table(int64_t rope_dim, DType dtype) {
    return test::filled({kPositions, rope_dim}, dtype == DType::f64 ? DType::f64 : DType::f32,
                        [&](int64_t i) {
                            const int64_t pair = i % rope_dim / 2;
                            const double angle = double(i / rope_dim) / std::pow(7.0, double(pair));
                            return i % 2 == 0 ? std::cos(angle) : std::sin(angle);
                        });
}

Tensor turned(Context& context, const Tensor& x, const Case& c, const Tensor& positions,
              ops::RotaryDirection direction) {
    Tensor y = test::with_gaps(x);
    ops::rotary(context, y, c.layout, table(c.layout.rope_dim, x.dtype()), positions, direction);
    return y.clone();
}

}  // namespace

TEST_CASE("rotary: turns the pairs (2i, 2i+1) by the position's angles and touches nothing else") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const Case& c : kCases) {
                CAPTURE(std::string(name(dtype)));
                CAPTURE(c.layout.rope_dim);
                const ops::RotaryLayout& l = c.layout;
                const int64_t width = l.heads * l.head_dim;
                const Tensor x = test::random_tensor({c.tokens, width}, dtype, 1);
                const Tensor positions = test::random_ids({c.tokens}, kPositions, 2);
                const Tensor cos_sin = table(l.rope_dim, dtype);
                const Tensor y = turned(context, x, c, positions, ops::RotaryDirection::forward);
                double terms = 0;
                const auto expected = [&](int64_t i) {
                    const int64_t channel = i % width % l.head_dim - l.offset;
                    if (channel < 0 || channel >= l.rope_dim) {
                        terms = 0;
                        return value_at(x, i);
                    }
                    const auto position = int64_t(value_at(positions, i / width));
                    const int64_t at = position * l.rope_dim + channel / 2 * 2;
                    const double cosine = value_at(cos_sin, at);
                    const double sine = value_at(cos_sin, at + 1);
                    const double other = value_at(x, channel % 2 == 0 ? i + 1 : i - 1);
                    terms = std::abs(value_at(x, i) * cosine) + std::abs(other * sine);
                    return value_at(x, i) * cosine + (channel % 2 == 0 ? -other : other) * sine;
                };
                test::check_close(y, expected, [&](int64_t i) {
                    const double value = std::abs(expected(i));
                    const double u = test::unit_roundoff(dtype == DType::f64 ? dtype : DType::f32);
                    return terms == 0 ? 0 : test::unit_roundoff(dtype) * value + 3 * u * terms;
                });
            }
        }
    });
}

TEST_CASE("rotary: backward is the transpose of forward") {
    test::for_each_isa([](Context& context) {
        for (const Case& c : kCases) {
            const Shape shape{c.tokens, c.layout.heads * c.layout.head_dim};
            const Tensor positions = test::random_ids({c.tokens}, kPositions, 2);
            for (const DType dtype : {DType::f32, DType::f64}) {
                const Tensor x = test::random_tensor(shape, dtype, 1);
                const Tensor dy = test::random_tensor(shape, dtype, 3);
                const double forward =
                    test::dot(turned(context, x, c, positions, ops::RotaryDirection::forward), dy);
                const double backward =
                    test::dot(x, turned(context, dy, c, positions, ops::RotaryDirection::backward));
                const double bound = 8 * test::unit_roundoff(dtype) * double(x.count() + 1);
                CHECK(std::abs(forward - backward) <= bound);
            }
        }
    });
}

TEST_CASE("rotary: bits depend neither on threads nor on the batch") {
    const Case c{400, {4, 96, 32, 64}};
    const Tensor x = test::random_tensor({c.tokens, 4 * 96}, DType::bf16, 1);
    const Tensor positions = test::random_ids({c.tokens}, kPositions, 2);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        return {turned(context, x, c, positions, ops::RotaryDirection::forward)};
    });
    test::for_each_isa([&](Context& context) {
        const Tensor all = turned(context, x, c, positions, ops::RotaryDirection::forward);
        const Tensor one = turned(context, x.rows(321, 1), c, positions.rows(321, 1),
                                  ops::RotaryDirection::forward);
        CHECK(test::same_bits(one, all.rows(321, 1)));
    });
}

TEST_CASE("rotary: a position outside the table is refused") {
    test::OwnContext context;
    Tensor x = test::random_tensor({1, 8}, DType::f32, 1);
    for (const double bad : {double(kPositions), -1.0}) {
        const Tensor positions = test::filled({1}, DType::i32, [&](int64_t) { return bad; });
        try {
            ops::rotary(context, x, {1, 8, 0, 8}, table(8, DType::f32), positions,
                        ops::RotaryDirection::forward);
            FAIL("accepted");
        } catch (const Error& error) {
            CHECK(error.kind() == Error::Kind::bad_input);
        }
    }
}

TEST_CASE("rotary: a layout wider than the row is refused") {
    test::OwnContext context;
    Tensor x = test::random_tensor({1, 8}, DType::f32, 1);
    const Tensor positions = Tensor::zeros({1}, DType::i32);
    CHECK_THROWS_AS(ops::rotary(context, x, {2, 8, 0, 8}, table(8, DType::f32), positions,
                                ops::RotaryDirection::forward),
                    Error);
    CHECK_THROWS_AS(ops::rotary(context, x, {1, 8, 4, 8}, table(8, DType::f32), positions,
                                ops::RotaryDirection::forward),
                    Error);
}

}  // namespace hadal
