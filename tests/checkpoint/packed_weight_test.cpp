// Weights in groups of INT4 or INT8: what compressed-tensors wrote, and what is refused.
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

std::filesystem::path golden(int bits) {
    return std::filesystem::path(HADAL_TEST_DATA) / "golden" / concat("int", bits);
}
const std::filesystem::path kGolden = golden(4);
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

TEST_CASE("packed weights: values are those that compressed-tensors reads, byte for byte") {
    for (const int bits : {4, 8}) {
        const auto files = HuggingFace::open(golden(bits));
        const auto expected = checkpoint::Safetensors::open(golden(bits) / "expected.safetensors");
        for (const std::string name : kNames) {
            CAPTURE(bits);
            CAPTURE(name);
            CHECK(files.packed_weight(name)->bits == bits);
            CHECK(files.packed_weight(name)->shape == expected.find(base(name) + ".before")->shape);
            const Tensor after = files.load(name, DType::bf16);
            CHECK(same_bytes(after, expected.load(base(name) + ".after")));
            const Tensor exact = files.load(name, DType::f32);
            bool rounds = true;
            for (int64_t i = 0; i < exact.count(); ++i)
                rounds = rounds && to_bf16(exact.values<float>()[size_t(i)]) ==
                                       after.values<bf16>()[size_t(i)];
            CHECK(rounds);
        }
    }
}

TEST_CASE("packed weights: under the same scales the codes are those of compressed-tensors") {
    for (const int bits : {4, 8}) {
        const auto files = HuggingFace::open(golden(bits));
        const auto expected = checkpoint::Safetensors::open(golden(bits) / "expected.safetensors");
        for (const std::string name : kNames) {
            const Tensor w = expected.load(base(name) + ".before");
            const Tensor packed = files.load(name + "_packed");
            const Tensor scale = files.load(name + "_scale");
            const Tensor codes = Tensor::uninitialized(packed.shape(), DType::i32);
            for (int64_t row = 0; row < w.shape()[0]; ++row) {
                for (size_t group = 0; group < size_t(w.shape()[1] / 32); ++group) {
                    const auto values = w.row<float>(row).subspan(group * 32).first<32>();
                    const bf16 by = scale.row<bf16>(row)[group];
                    Tensor made = codes.rows(row, 1);
                    const auto words = made.values<int32_t>().subspan(group * size_t(bits));
                    if (bits == 4) {
                        formats::encode_int4(values, by, words.first<4>());
                    } else {
                        formats::encode_int8(values, by, words.first<8>());
                    }
                }
            }
            CAPTURE(bits);
            CAPTURE(name);
            CHECK(same_bytes(codes, packed));
        }
    }
}

TEST_CASE("packed weights: a weight's three tensors know it, others do not") {
    const auto files = HuggingFace::open(kGolden);
    CHECK(files.packed_weight_of("wide.weight_packed") == "wide.weight");
    CHECK(files.packed_weight_of("wide.weight_scale") == "wide.weight");
    CHECK(files.packed_weight_of("wide.weight_shape") == "wide.weight");
    CHECK(files.packed_weight_of("other.weight_scale").empty());
    CHECK(files.packed_weight_of("wide.weight").empty());
    CHECK(!files.packed_weight("other.weight"));
    CHECK_THROWS_AS(files.load_int4("other.weight"), Error);
    CHECK_THROWS_AS(files.load_int8("wide.weight"), Error);  // it is in INT4
    CHECK_THROWS_AS(HuggingFace::open(golden(8)).load_int4("wide.weight"), Error);
    CHECK_THROWS_AS(files.load("wide.weight", DType::f64), Error);
}

TEST_CASE("packed weights: tensors that are missing or do not fit are refused by name") {
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
         {Tensor::zeros({3, 8}, DType::f32), Tensor::zeros({24}, DType::bf16)})
        CHECK(altered("_scale", scale).find("not a scale in bf16") != std::string::npos);
    for (const Tensor& scale :
         {Tensor::zeros({3, 7}, DType::bf16), Tensor::zeros({2, 8}, DType::bf16)})
        CHECK(altered("_scale", scale).find("neither INT4 nor INT8 of ") != std::string::npos);
    for (const Tensor& codes :
         {Tensor::zeros({3, 30}, DType::i32), Tensor::zeros({3, 32}, DType::i64),
          Tensor::zeros({2, 32}, DType::i32), Tensor::zeros({96}, DType::i32)})
        CHECK(altered("_packed", codes).find("INT8 of [3, 256] packed") != std::string::npos);
    // Half as many scales, as groups of 64 have: INT8 of half the width, but for what _shape says.
    CHECK(altered("_scale", Tensor::zeros({3, 4}, DType::bf16)).find("says [3, 256]") !=
          std::string::npos);
    for (const Tensor& shape : {Tensor::zeros({3}, DType::i64), Tensor::zeros({2}, DType::i32)})
        CHECK(altered("_shape", shape).find("not two sizes") != std::string::npos);
    CHECK(altered("_shape", Tensor::zeros({2}, DType::i64)).find("says [0, 0]") !=
          std::string::npos);
}
