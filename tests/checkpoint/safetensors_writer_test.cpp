#include "checkpoint/safetensors_writer.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cstring>
#include <string>

#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"

using hadal::DType;
using hadal::Error;
using hadal::Tensor;
using hadal::checkpoint::Safetensors;
using hadal::checkpoint::SafetensorsWriter;
using hadal::checkpoint::TensorSpec;
using hadal::test::TemporaryDirectory;

namespace {

Tensor counting(hadal::Shape shape, DType dtype) {
    Tensor tensor = Tensor::uninitialized(shape, dtype);
    for (int64_t i = 0; i < tensor.bytes(); ++i) tensor.data()[i] = std::byte(i * 7 + 1);
    return tensor;
}

const std::vector<TensorSpec> kSpecs = {{"small", DType::u8, {3}},
                                        {"weight", DType::f32, {4, 5}},
                                        {"half", DType::bf16, {3, 3}},
                                        {"empty", DType::f32, {0, 7}},
                                        {"scalar", DType::f64, {}}};

void write_all(const std::filesystem::path& path, std::vector<TensorSpec> specs) {
    SafetensorsWriter writer(path, specs);
    for (const TensorSpec& spec : specs) writer.add(spec.name, counting(spec.shape, spec.dtype));
    writer.finish();
}

}  // namespace

TEST_CASE("safetensors_writer: what is written reads back, every tensor aligned") {
    const TemporaryDirectory scratch;
    write_all(scratch / "a", kSpecs);
    const auto file = Safetensors::open(scratch / "a");
    REQUIRE(file.tensors().size() == kSpecs.size());
    CHECK(file.metadata().at("format") == "pt");
    for (const TensorSpec& spec : kSpecs) {
        CAPTURE(spec.name);
        const Tensor tensor = file.load(spec.name);
        CHECK(tensor.dtype() == spec.dtype);
        REQUIRE(tensor.shape() == spec.shape);
        CHECK(std::memcmp(tensor.data(), counting(spec.shape, spec.dtype).data(),
                          size_t(tensor.bytes())) == 0);
        CHECK(file.find(spec.name)->offset % hadal::size_of(spec.dtype) == 0);
    }
}

TEST_CASE("safetensors_writer: the bytes do not depend on the order of the tensors") {
    const TemporaryDirectory scratch;
    write_all(scratch / "a", kSpecs);
    auto reversed = kSpecs;
    std::reverse(reversed.begin(), reversed.end());
    write_all(scratch / "b", reversed);
    CHECK(hadal::read_file(scratch / "a") == hadal::read_file(scratch / "b"));
}

TEST_CASE("safetensors_writer: a view of some columns is written without its gaps") {
    const TemporaryDirectory scratch;
    const Tensor wide = counting({3, 8}, DType::u8);
    SafetensorsWriter writer(scratch / "a", std::vector<TensorSpec>{{"x", DType::u8, {3, 2}}});
    writer.add("x", wide.columns(4, 2));
    writer.finish();
    const Tensor read = Safetensors::open(scratch / "a").load("x");
    for (int64_t i = 0; i < 3; ++i) {
        CHECK(read.row<uint8_t>(i)[0] == wide.row<uint8_t>(i)[4]);
        CHECK(read.row<uint8_t>(i)[1] == wide.row<uint8_t>(i)[5]);
    }
}

TEST_CASE("safetensors_writer: names with quotes, backslashes and letters beyond ASCII survive") {
    const TemporaryDirectory scratch;
    const std::string name = "a\"b\\c\nд層";
    write_all(scratch / "a", {{name, DType::u8, {1}}});
    CHECK(Safetensors::open(scratch / "a").tensors()[0].name == name);
}

TEST_CASE("safetensors_writer: an unfinished file leaves nothing, and the one of before in place") {
    const TemporaryDirectory scratch;
    write_all(scratch / "a", kSpecs);
    const std::string before = hadal::read_file(scratch / "a");
    {
        SafetensorsWriter writer(scratch / "a", kSpecs);
        writer.add("small", counting({3}, DType::u8));
        CHECK(scratch.num_entries() == 2);
        CHECK_THROWS_WITH_AS(writer.finish(), doctest::Contains("'empty' was never added"), Error);
    }
    CHECK(scratch.num_entries() == 1);
    CHECK(hadal::read_file(scratch / "a") == before);
}

TEST_CASE("safetensors_writer: a tensor that is not as declared is refused") {
    const TemporaryDirectory scratch;
    SafetensorsWriter writer(scratch / "a", kSpecs);
    CHECK_THROWS_AS(writer.add("weight", counting({5, 4}, DType::f32)), Error);
    CHECK_THROWS_AS(writer.add("weight", counting({4, 5}, DType::i32)), Error);
    CHECK_THROWS_WITH_AS(writer.add("other", counting({3}, DType::u8)),
                         doctest::Contains("'other' is not declared"), Error);
    writer.add("small", counting({3}, DType::u8));
    CHECK_THROWS_WITH_AS(writer.add("small", counting({3}, DType::u8)), doctest::Contains("twice"),
                         Error);
    CHECK_THROWS_WITH_AS(SafetensorsWriter(scratch / "b", std::vector<TensorSpec>(2, kSpecs[0])),
                         doctest::Contains("declared twice"), Error);
}
