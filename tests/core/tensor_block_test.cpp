#include "core/tensor_block.h"

#include <doctest/doctest.h>

#include "core/large_pages.h"

namespace hadal {

TEST_CASE("tensor block: tensors begin on cache lines, do not overlap, and keep the memory alive") {
    Tensor first, second, third;
    {
        const Shape odd{3, 5}, row{7};
        TensorBlock block(2 * TensorBlock::room(odd) + TensorBlock::room(row), DType::bf16);
        block.fill_zero();
        first = block.take(odd);
        second = block.take(row);
        third = block.take(odd);
    }
    for (const Tensor& tensor : {first, second, third}) {
        CHECK(reinterpret_cast<uintptr_t>(tensor.data()) % 64 == 0);
    }
    CHECK(first.data() + first.bytes() <= second.data());
    CHECK(second.data() + second.bytes() <= third.data());
    CHECK(third.shape() == Shape{3, 5});
    for (const bf16 value : third.values<bf16>()) CHECK(value.bits == 0);
}

TEST_CASE("large pages: large memory begins on one, all of any size can be written") {
    constexpr size_t kLargePage = size_t(2) << 20;
    for (const size_t bytes : {size_t(1), size_t(64), kLargePage, 3 * kLargePage + 1}) {
        CAPTURE(bytes);
        const auto memory = allocate_bytes(bytes);
        const size_t boundary = bytes >= 2 * kLargePage ? kLargePage : 64;
        CHECK(reinterpret_cast<uintptr_t>(memory.get()) % boundary == 0);
        memory.get()[0] = std::byte{1};
        memory.get()[bytes - 1] = std::byte{2};
        CHECK(memory.get()[bytes - 1] == std::byte{2});
    }
}

}  // namespace hadal
