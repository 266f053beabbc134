#include "core/tensor.h"

#include <doctest/doctest.h>

#include <memory>
#include <numeric>
#include <vector>

#include "core/error.h"

using namespace hadal;

namespace {

/// 0, 1, 2, … in the given shape.
Tensor counting(Shape shape) {
    Tensor tensor = Tensor::uninitialized(shape, DType::i32);
    const auto values = tensor.values<int32_t>();
    std::iota(values.begin(), values.end(), 0);
    return tensor;
}

std::vector<int32_t> row_of(const Tensor& tensor, int64_t i) {
    const auto row = tensor.row<int32_t>(i);
    return {row.begin(), row.end()};
}

}  // namespace

TEST_CASE("tensor: a default one is absent, one without elements is not") {
    const Tensor absent;
    CHECK(absent.empty());
    CHECK(absent.count() == 0);
    const Tensor none = Tensor::zeros({0, 5}, DType::f32);
    CHECK(!none.empty());
    CHECK(none.count() == 0);
    CHECK(none.bytes() == 0);
    CHECK(none.clone().shape() == Shape{0, 5});
    CHECK(Tensor().clone().empty());
}

TEST_CASE("tensor: memory begins on a cache line and zeros are zero, whatever the size") {
    for (const int64_t count : {0, 1, 7, 64, 1000, 3'000'000}) {
        CAPTURE(count);
        const Tensor tensor = Tensor::zeros({count}, DType::u8);
        CHECK(reinterpret_cast<uintptr_t>(tensor.data()) % 64 == 0);
        int64_t sum = 0;
        for (const uint8_t value : tensor.values<uint8_t>()) sum += value;
        CHECK(sum == 0);
    }
}

TEST_CASE("tensor: rows and columns are views of the same memory") {
    Tensor whole = counting({4, 6});
    Tensor rows = whole.rows(1, 2);
    CHECK(rows.shape() == Shape{2, 6});
    CHECK(rows.contiguous());
    CHECK(row_of(rows, 0) == std::vector<int32_t>{6, 7, 8, 9, 10, 11});

    Tensor middle = rows.columns(2, 3);
    CHECK(middle.shape() == Shape{2, 3});
    CHECK(!middle.contiguous());
    CHECK(middle.row_stride() == 6);
    CHECK(row_of(middle, 1) == std::vector<int32_t>{14, 15, 16});
    middle.row<int32_t>(1)[0] = -1;
    CHECK(whole.values<int32_t>()[14] == -1);

    CHECK(whole.columns(5, 1).rows(3, 1).contiguous());  // one row has no gap behind it
    CHECK(whole.rows(4, 0).count() == 0);
}

TEST_CASE("tensor: a row of more than two dimensions is all that lies under it") {
    const Tensor tensor = counting({3, 2, 4});
    CHECK(tensor.row_stride() == 8);
    CHECK(row_of(tensor, 2) == std::vector<int32_t>{16, 17, 18, 19, 20, 21, 22, 23});
    const Tensor flat = tensor.rows(1, 2).reshaped({4, 4});
    CHECK(row_of(flat, 0) == std::vector<int32_t>{8, 9, 10, 11});
}

TEST_CASE("tensor: a copy of a strided view is packed and stands alone") {
    Tensor whole = counting({5, 7});
    const Tensor view = whole.columns(3, 2);
    Tensor copy = view.clone();
    CHECK(copy.contiguous());
    for (int64_t i = 0; i < 5; ++i) CHECK(row_of(copy, i) == row_of(view, i));
    whole.fill_zero();
    CHECK(row_of(copy, 4) == std::vector<int32_t>{31, 32});

    Tensor target = counting({5, 7});
    Tensor hole = target.columns(3, 2);
    hole.copy_from(copy);
    hole.copy_from(Tensor::zeros({5, 2}, DType::i32));
    CHECK(row_of(target, 1) == std::vector<int32_t>{7, 8, 9, 0, 0, 12, 13});
}

TEST_CASE("tensor: views keep memory of an owner alive, and no longer") {
    auto owner = std::make_shared<std::vector<int32_t>>(6, 5);
    const std::weak_ptr<std::vector<int32_t>> alive = owner;
    Tensor view;
    {
        const Tensor tensor = Tensor::over(owner->data(), {3, 2}, DType::i32, owner);
        view = tensor.rows(2, 1).columns(1, 1);
    }
    owner.reset();
    CHECK(!alive.expired());
    CHECK(view.row<int32_t>(0)[0] == 5);
    view = {};
    CHECK(alive.expired());
}

TEST_CASE("tensor: shapes are told apart by rank and size, and name themselves") {
    CHECK(Shape{2, 3} == Shape{2, 3});
    CHECK(Shape{2, 3} != Shape{3, 2});
    CHECK(Shape{2} != Shape{2, 1});
    CHECK(Shape{}.count() == 1);
    CHECK(Shape{4, 0, 7}.count() == 0);
    CHECK(Shape{3, 128}.text() == "[3, 128]");
    CHECK(Shape{}.text() == "[]");
}

TEST_CASE("tensor: require accepts any size for -1 and else names what differs") {
    const Tensor tensor = Tensor::zeros({3, 4}, DType::f32);
    CHECK_NOTHROW(require(tensor, DType::f32, {3, 4}, "x"));
    CHECK_NOTHROW(require(tensor, DType::f32, {-1, 4}, "x"));
    CHECK_THROWS_WITH_AS(require(tensor, DType::bf16, {3, 4}, "x"),
                         "x is [3, 4] f32, should be [3, 4] bf16", Error);
    CHECK_THROWS_AS(require(tensor, DType::f32, {4, 3}, "x"), Error);
    CHECK_THROWS_AS(require(tensor, DType::f32, {12}, "x"), Error);
    CHECK_THROWS_AS(require(Tensor(), DType::f32, {3, 4}, "x"), Error);
}
