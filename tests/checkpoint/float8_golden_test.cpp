// Float8 against numbers that other programs made: byte for byte, no tolerance.
#include <doctest/doctest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <string>

#include "checkpoint/hugging_face.h"
#include "checkpoint/safetensors.h"
#include "formats/float8.h"
#include "formats/scale_tile.h"

using hadal::DType;
using hadal::f8_e4m3;
using hadal::Tensor;
using hadal::checkpoint::HuggingFace;
using hadal::checkpoint::Safetensors;
namespace formats = hadal::formats;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(HADAL_TEST_DATA) / "golden";

bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

}  // namespace

TEST_CASE("float8: rounding agrees with PyTorch on every code, midpoint, neighbour and overflow") {
    const auto golden = Safetensors::open(kGolden / "fp8_kernels" / "golden.safetensors");
    const Tensor x = golden.load("probe.x");
    const Tensor q = golden.load("probe.q");
    REQUIRE(x.count() == 1018);
    for (int64_t i = 0; i < x.count(); ++i) {
        const float value = x.values<float>()[size_t(i)];
        CAPTURE(value);
        CHECK(hadal::to_f8_e4m3(value) == q.values<f8_e4m3>()[size_t(i)]);
    }
}

TEST_CASE("float8: block quantisation and its inverse agree with the reference byte for byte") {
    const auto golden = Safetensors::open(kGolden / "fp8_kernels" / "golden.safetensors");
    const Tensor w = golden.load("w");  // [136, 320] f32
    Tensor q = Tensor::uninitialized(w.shape(), DType::f8_e4m3);
    Tensor scale = Tensor::uninitialized(formats::scale_shape(w.shape()), DType::f32);
    formats::quantize_blocks(w, q, scale);
    CHECK(same_bytes(q, golden.load("w.128x128.q")));
    CHECK(same_bytes(scale, golden.load("w.128x128.scale")));
    Tensor y = Tensor::uninitialized(w.shape(), DType::f32);
    formats::dequantize_blocks(q, scale, y);
    CHECK(same_bytes(y, golden.load("w.128x128.dequant")));
}

TEST_CASE("float8: a weight whose scales are in another file is read as f32 and as bf16") {
    const auto model = HuggingFace::open(kGolden / "fp8_blocks");
    const auto expected = Safetensors::open(kGolden / "fp8_blocks" / "expected.safetensors");
    for (const std::string name : {"inside", "edges", "thin", "small"}) {
        CAPTURE(name);
        CHECK(same_bytes(model.load(name + ".weight", DType::f32), expected.load(name + ".f32")));
        CHECK(same_bytes(model.load(name + ".weight", DType::bf16), expected.load(name + ".bf16")));
        CHECK(model.load(name + ".weight").dtype() == DType::f8_e4m3);
    }
}
