// Weights in INT4 groups: what compressed-tensors wrote, and what is refused.
#include <doctest/doctest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <functional>
#include <string>

#include "checkpoint/hugging_face.h"
#include "checkpoint/hugging_face_writer.h"
#include "checkpoint/temporary_directory.h"
#include "formats/bfloat16.h"
#include "formats/int4_group.h"

using namespace hadal;
using checkpoint::HuggingFace;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(HADAL_TEST_DATA) / "golden" / "int4";
constexpr std::array<const char*, 3> kNames = {"wide.weight", "tall.weight", "one.weight"};

std::string base(const std::string& name) {
    return name.substr(0, name.find('.'));
}

bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

/// What reading `wide.weight` says after one of its tensors went through `change`; an empty result
/// leaves it out.
std::string refusal(const std::function<Tensor(const std::string&, const Tensor&)>& change) {
    const test::TemporaryDirectory folder;
    const auto golden = HuggingFace::open(kGolden);
    std::vector<checkpoint::TensorSpec> specs;
    std::vector<Tensor> tensors;
    for (const auto& info : golden.tensors()) {
        if (base(info.name) != "wide") continue;
        const Tensor tensor = change(info.name, golden.load(info.name).clone());
        if (tensor.empty()) continue;
        specs.push_back({info.name, tensor.dtype(), tensor.shape()});
        tensors.push_back(tensor);
    }
    checkpoint::HuggingFaceWriter writer(folder / "model", specs, {});
    for (size_t i = 0; i < specs.size(); ++i) writer.add(specs[i].name, tensors[i]);
    writer.add_file("config.json", "{}");
    writer.finish();
    try {
        HuggingFace::open(folder / "model").load("wide.weight", DType::f32);
    } catch (const Error& error) {
        CHECK(error.kind() == Error::Kind::corrupt_file);
        return error.what();
    }
    return "";
}

}  // namespace

TEST_CASE("int4: values are those that compressed-tensors reads, byte for byte") {
    const auto files = HuggingFace::open(kGolden);
    const auto expected = checkpoint::Safetensors::open(kGolden / "expected.safetensors");
    for (const std::string name : kNames) {
        CAPTURE(name);
        CHECK(files.int4_shape(name) == expected.find(base(name) + ".before")->shape);
        const Tensor after = files.load(name, DType::bf16);
        CHECK(same_bytes(after, expected.load(base(name) + ".after")));
        const Tensor exact = files.load(name, DType::f32);
        bool rounds = true;
        for (int64_t i = 0; i < exact.count(); ++i)
            rounds = rounds &&
                     to_bf16(exact.values<float>()[size_t(i)]) == after.values<bf16>()[size_t(i)];
        CHECK(rounds);
    }
}

TEST_CASE("int4: under the same scales the codes are those of compressed-tensors") {
    const auto files = HuggingFace::open(kGolden);
    const auto expected = checkpoint::Safetensors::open(kGolden / "expected.safetensors");
    for (const std::string name : kNames) {
        const Tensor w = expected.load(base(name) + ".before");
        const formats::Int4Matrix golden = files.load_int4(name);
        auto codes = formats::Int4Matrix::uninitialized(w.shape());
        for (int64_t row = 0; row < w.shape()[0]; ++row) {
            for (size_t group = 0; group < size_t(w.shape()[1] / 32); ++group) {
                formats::encode_int4(w.row<float>(row).subspan(group * 32).first<32>(),
                                     golden.scale.row<bf16>(row)[group],
                                     codes.packed.row<int32_t>(row).subspan(group * 4).first<4>());
            }
        }
        CAPTURE(name);
        CHECK(same_bytes(codes.packed, golden.packed));
    }
}

TEST_CASE("int4: a weight's three tensors know it, others do not") {
    const auto files = HuggingFace::open(kGolden);
    CHECK(files.int4_weight_of("wide.weight_packed") == "wide.weight");
    CHECK(files.int4_weight_of("wide.weight_scale") == "wide.weight");
    CHECK(files.int4_weight_of("wide.weight_shape") == "wide.weight");
    CHECK(files.int4_weight_of("other.weight_scale").empty());
    CHECK(files.int4_weight_of("wide.weight").empty());
    CHECK(!files.int4_shape("other.weight"));
    CHECK_THROWS_AS(files.load_int4("other.weight"), Error);
    CHECK_THROWS_AS(files.load("wide.weight", DType::f64), Error);
}

TEST_CASE("int4: tensors that are missing or do not fit are refused by name") {
    CHECK(refusal([](const std::string&, const Tensor& tensor) { return tensor; }).empty());
    for (const std::string part : {"_scale", "_shape"}) {
        const std::string said = refusal([&](const std::string& name, const Tensor& tensor) {
            return name.ends_with(part) ? Tensor() : tensor;
        });
        CHECK(said.find("'wide.weight" + part + "' is missing") != std::string::npos);
    }
    const auto altered = [](const std::string& part, const Tensor& other) {
        return refusal([&](const std::string& name, const Tensor& tensor) {
            return name.ends_with(part) ? other : tensor;
        });
    };
    for (const Tensor& scale :
         {Tensor::zeros({3, 7}, DType::bf16), Tensor::zeros({2, 8}, DType::bf16),
          Tensor::zeros({3, 8}, DType::f32), Tensor::zeros({24}, DType::bf16)})
        CHECK(altered("_scale", scale).find("for each 32 of [3, 256]") != std::string::npos);
    for (const Tensor& codes :
         {Tensor::zeros({3, 30}, DType::i32), Tensor::zeros({3, 32}, DType::i64),
          Tensor::zeros({96}, DType::i32)})
        CHECK(altered("_packed", codes).find("whole groups of 32 codes") != std::string::npos);
    for (const Tensor& shape : {Tensor::zeros({3}, DType::i64), Tensor::zeros({2}, DType::i32)})
        CHECK(altered("_shape", shape).find("not two sizes") != std::string::npos);
    CHECK(altered("_shape", Tensor::zeros({2}, DType::i64)).find("says [0, 0]") !=
          std::string::npos);
}
