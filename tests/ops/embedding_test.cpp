#include "ops/embedding.h"

#include "ops/support.h"

namespace hadal {

namespace {

using test::value_at;

constexpr DType kTypes[] = {DType::bf16, DType::f32, DType::f64};

DType statistic(DType dtype) {
    return dtype == DType::f64 ? DType::f64 : DType::f32;
}

}  // namespace

TEST_CASE("embedding: copies the rows named by the ids") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const int64_t tokens : {0, 1, 13}) {
                const Tensor table = test::random_tensor({11, 37}, dtype, 1);
                const Tensor ids = test::random_ids({tokens}, 11, 2);
                Tensor y = test::with_gaps(Tensor::zeros({tokens, 37}, dtype));
                ops::embedding(context, ids, table, y);
                for (int64_t t = 0; t < tokens; ++t) {
                    const auto id = int64_t(value_at(ids, t));
                    CHECK(test::same_bits(y.rows(t, 1), table.rows(id, 1)));
                }
            }
        }
    });
}

TEST_CASE("embedding: the table's gradient adds each token's row, in the tokens' order") {
    test::for_each_isa([](Context& context) {
        for (const DType dtype : kTypes) {
            for (const int64_t tokens : {0, 1, 57}) {
                for (const int64_t hidden : {5, 300, 577}) {
                    CAPTURE(std::string(name(dtype)));
                    CAPTURE(hidden);
                    const Tensor ids = test::random_ids({tokens}, 9, 2);
                    const Tensor dy = test::random_tensor({tokens, hidden}, dtype, 3);
                    Tensor d_table = test::random_tensor({9, hidden}, statistic(dtype), 4);
                    Tensor expected = d_table.clone();
                    ops::embedding_backward(context, ids, test::with_gaps(dy), d_table);
                    for (int64_t i = 0; i < dy.count(); ++i) {
                        const auto id = int64_t(value_at(ids, i / hidden));
                        const int64_t at = id * hidden + i % hidden;
                        test::set_at(expected, at, value_at(expected, at) + value_at(dy, i));
                    }
                    CHECK(test::same_bits(d_table, expected));
                }
            }
        }
    });
}

TEST_CASE("embedding: the gradient agrees with central differences") {
    test::for_each_isa([](Context& context) {
        Tensor table = test::random_tensor({5, 3}, DType::f64, 1);
        const Tensor ids = test::random_ids({7}, 5, 2);
        const Tensor dy = test::random_tensor({7, 3}, DType::f64, 3);
        Tensor d_table = Tensor::zeros({5, 3}, DType::f64);
        ops::embedding_backward(context, ids, dy, d_table);
        test::check_gradient(table, d_table, [&] {
            Tensor y = Tensor::zeros({7, 3}, DType::f64);
            ops::embedding(context, ids, table, y);
            return test::dot(y, dy);
        });
    });
}

TEST_CASE("embedding: bits do not depend on the number of threads") {
    const Tensor ids = test::random_ids({500}, 40, 2);
    const Tensor dy = test::random_tensor({500, 1031}, DType::bf16, 3);
    test::check_thread_independence([&](Context& context) -> std::vector<Tensor> {
        Tensor d_table = Tensor::zeros({40, 1031}, DType::f32);
        ops::embedding_backward(context, ids, dy, d_table);
        return {d_table};
    });
}

TEST_CASE("embedding: an id outside the table is refused, naming id and size") {
    test::OwnContext context;
    const Tensor table = test::random_tensor({11, 4}, DType::f32, 1);
    Tensor d_table = Tensor::zeros({11, 4}, DType::f32);
    Tensor y = Tensor::zeros({2, 4}, DType::f32);
    for (const int32_t bad : {11, -1}) {
        Tensor ids = Tensor::zeros({2}, DType::i32);
        ids.data_as<int32_t>()[1] = bad;
        const std::string message = concat("token id ", bad, " is outside the vocabulary of 11");
        CHECK_THROWS_WITH_AS(ops::embedding(context, ids, table, y),
                             doctest::Contains(message.c_str()), Error);
        CHECK_THROWS_WITH_AS(ops::embedding_backward(context, ids, y, d_table),
                             doctest::Contains(message.c_str()), Error);
    }
}

}  // namespace hadal
