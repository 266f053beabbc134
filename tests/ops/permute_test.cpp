#include "ops/permute.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

struct Order {
    std::vector<int64_t> offsets;
    Tensor row_source;
    Tensor slot_row;
};
Order order_of(Context& context, const Tensor& ids, int64_t experts) {
    const auto [tokens, top_k] = ids.shape<2>();
    Order order{std::vector<int64_t>(size_t(experts) + 1, -5),
                Tensor::zeros({tokens * top_k}, DType::i32),
                Tensor::zeros({tokens, top_k}, DType::i32)};
    ops::expert_order(context, ids, order.offsets, order.row_source, order.slot_row);
    return order;
}

Tensor gathered(Context& context, const Tensor& x, const Order& order, int64_t top_k) {
    Tensor y = Tensor::zeros({order.row_source.shape()[0], x.shape()[1]}, x.dtype());
    ops::gather_rows(context, x, order.row_source, top_k, y);
    return y;
}

Tensor combined(Context& context, const Tensor& rows, const Order& order) {
    Tensor y = Tensor::zeros({order.slot_row.shape()[0], rows.shape()[1]}, rows.dtype());
    ops::combine_rows(context, rows, order.slot_row, false, y);
    return y;
}

}  // namespace

TEST_CASE("permute: rows are sorted by expert, stable in (token, slot), experts may be empty") {
    test::for_each_isa([](Context& context) {
        const double chosen[] = {5, 1, 0, 5, 1, 6, 0, 1};  // experts 2, 3, 4 get nothing
        const Tensor ids = test::filled({4, 2}, DType::i32, [&](int64_t i) { return chosen[i]; });
        const Order order = order_of(context, ids, 7);
        CHECK(order.offsets == std::vector<int64_t>{0, 2, 5, 5, 5, 5, 7, 8});
        const double source[] = {2, 6, 1, 4, 7, 0, 3, 5};
        for (int64_t r = 0; r < 8; ++r) {
            CHECK(value_at(order.row_source, r) == source[r]);
            CHECK(value_at(order.slot_row, int64_t(source[r])) == double(r));
        }
    });
}

TEST_CASE("permute: no tokens give no rows") {
    test::OwnContext context;
    const Order order = order_of(context, Tensor::zeros({0, 3}, DType::i32), 4);
    CHECK(order.offsets == std::vector<int64_t>(5, 0));
    CHECK(gathered(context, Tensor::zeros({0, 8}, DType::f32), order, 3).count() == 0);
    CHECK(combined(context, Tensor::zeros({0, 8}, DType::f32), order).count() == 0);
}

TEST_CASE("permute: an expert that does not exist is refused") {
    test::OwnContext context;
    for (const double bad : {4.0, -1.0}) {
        const Tensor ids =
            test::filled({1, 2}, DType::i32, [&](int64_t i) { return double(i) * bad; });
        CHECK_THROWS_WITH_AS(order_of(context, ids, 4),
                             doctest::Contains("is outside the 4 routed experts"), Error);
    }
}

TEST_CASE("permute: a gathered row is its token's row") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            const Tensor x = test::random_tensor({5, 19}, dtype, 1);
            const Order order = order_of(context, test::random_ids({5, 3}, 4, 2), 4);
            const Tensor y = gathered(context, test::with_gaps(x), order, 3);
            for (int64_t r = 0; r < 15; ++r) {
                const auto token = int64_t(value_at(order.row_source, r)) / 3;
                CHECK(test::same_bits(y.rows(r, 1), x.rows(token, 1)));
            }
        }
    });
}

TEST_CASE("permute: combine sums a token's rows in float32, in the slots' order, rounded once") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const int64_t hidden : {1, 7, 64, 97}) {
                for (const bool add : {false, true}) {
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(hidden);
                    const Tensor rows = test::random_tensor({15, hidden}, dtype, 1);
                    const Order order = order_of(context, test::random_ids({5, 3}, 4, 2), 4);
                    Tensor y = test::random_tensor({5, hidden}, dtype, 3);
                    const Tensor before = y.clone();
                    ops::combine_rows(context, rows, order.slot_row, add, y);
                    const DType wide = dtype == DType::f64 ? DType::f64 : DType::f32;
                    Tensor sum = Tensor::zeros({5, hidden}, wide);
                    for (int64_t i = 0; i < sum.count(); ++i) {
                        for (int64_t k = 0; k < 3; ++k) {
                            const auto row = int64_t(value_at(order.slot_row, i / hidden * 3 + k));
                            test::set_at(
                                sum, i,
                                value_at(sum, i) + value_at(rows, row * hidden + i % hidden));
                        }
                        if (add) test::set_at(sum, i, value_at(before, i) + value_at(sum, i));
                    }
                    CHECK(test::same_bits(y, test::as(sum, dtype)));
                }
            }
        }
    });
}

TEST_CASE("permute: gather and combine are each other's adjoint") {
    test::for_each_isa([](Context& context) {
        const Tensor x = test::random_tensor({7, 13}, DType::f64, 1);
        const Tensor rows = test::random_tensor({28, 13}, DType::f64, 2);
        const Order order = order_of(context, test::random_ids({7, 4}, 6, 3), 6);
        const double left = test::dot(gathered(context, x, order, 4), rows);
        const double right = test::dot(x, combined(context, rows, order));
        CHECK(std::abs(left - right) < 1e-12);
    });
}

TEST_CASE("permute: values go into expert order and back") {
    test::OwnContext context;
    for (const DType dtype : {DType::f32, DType::f64}) {
        const Tensor values = test::random_tensor({6, 3}, dtype, 1);
        const Order order = order_of(context, test::random_ids({6, 3}, 5, 2), 5);
        Tensor y = Tensor::zeros({18}, dtype);
        ops::gather_values(context, values, order.row_source, y);
        for (int64_t r = 0; r < 18; ++r) {
            CHECK(value_at(y, r) == value_at(values, int64_t(value_at(order.row_source, r))));
        }
        Tensor back = Tensor::zeros({6, 3}, dtype);
        ops::scatter_values(context, y, order.row_source, back);
        CHECK(test::same_bits(back, values));
    }
}

TEST_CASE("permute: bits depend neither on threads nor on the batch") {
    const Tensor ids = test::random_ids({300, 4}, 16, 1);
    const Tensor rows = test::random_tensor({1200, 259}, DType::bf16, 2);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        const Order order = order_of(context, ids, 16);
        const Tensor y = combined(context, rows, order);
        return {order.row_source, order.slot_row, y, gathered(context, y, order, 4)};
    });
    test::for_each_isa([&](Context& context) {
        const Order order = order_of(context, ids, 16);
        const Tensor all = combined(context, rows, order);
        Tensor own_rows = Tensor::zeros({4, 259}, DType::bf16);
        for (int64_t k = 0; k < 4; ++k) {
            Tensor row = own_rows.rows(k, 1);
            row.copy_from(rows.rows(int64_t(value_at(order.slot_row, 123 * 4 + k)), 1));
        }
        const Tensor slots = test::filled({1, 4}, DType::i32, [](int64_t k) { return double(k); });
        Tensor one = Tensor::zeros({1, 259}, DType::bf16);
        ops::combine_rows(context, own_rows, slots, false, one);
        CHECK(test::same_bits(one, all.rows(123, 1)));
    });
}

}  // namespace hadal
