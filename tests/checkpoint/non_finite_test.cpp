#include "checkpoint/non_finite.h"

#include <doctest/doctest.h>

#include <limits>

#include "checkpoint/convert.h"
#include "formats/float8.h"

using hadal::DType;
using hadal::Tensor;
using hadal::checkpoint::converted;
using hadal::checkpoint::count_non_finite;

TEST_CASE("non_finite: NaN and both infinities are counted, the largest numbers are not") {
    Tensor x = Tensor::zeros({2, 3}, DType::f32);
    const auto values = x.values<float>();
    values[0] = 60000;
    values[1] = -60000;
    CHECK(count_non_finite(x) == 0);
    values[2] = std::numeric_limits<float>::quiet_NaN();
    values[3] = std::numeric_limits<float>::infinity();
    values[4] = -std::numeric_limits<float>::infinity();
    for (const DType dtype : {DType::f64, DType::f32, DType::bf16, DType::f16}) {
        CAPTURE(hadal::name(dtype));
        CHECK(count_non_finite(converted(x, dtype)) == 3);
    }
}

TEST_CASE("non_finite: in float8 only the two NaN codes are no numbers") {
    Tensor codes = Tensor::uninitialized({256}, DType::f8_e4m3);
    for (int i = 0; i < 256; ++i) codes.values<hadal::f8_e4m3>()[size_t(i)] = {uint8_t(i)};
    CHECK(count_non_finite(codes) == 2);
    CHECK(count_non_finite(codes.rows(0, 0x7F)) == 0);
}

TEST_CASE("non_finite: integers are always numbers") {
    Tensor ids = Tensor::uninitialized({4}, DType::i32);
    for (int32_t& id : ids.values<int32_t>()) id = -1;
    CHECK(count_non_finite(ids) == 0);
    CHECK(count_non_finite(Tensor::zeros({0, 3}, DType::f32)) == 0);
}
