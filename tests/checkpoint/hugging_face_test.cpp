#include "checkpoint/hugging_face.h"

#include <doctest/doctest.h>

#include <string>

#include "checkpoint/hugging_face_writer.h"
#include "checkpoint/model_copy.h"
#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"
#include "formats/bfloat16.h"

using hadal::DType;
using hadal::Error;
using hadal::Tensor;
using hadal::checkpoint::HuggingFace;
using hadal::checkpoint::HuggingFaceWriter;
using hadal::checkpoint::TensorInfo;
using hadal::checkpoint::TensorSpec;
using hadal::test::same_bytes;
using hadal::test::TemporaryDirectory;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(HADAL_TEST_DATA) / "golden";

}  // namespace

TEST_CASE("hugging_face: a model in three files is the model in one") {
    const HuggingFace one = HuggingFace::open(kGolden / "base");
    const HuggingFace three = HuggingFace::open(kGolden / "sharded");
    CHECK(one.num_files() == 1);
    CHECK(three.num_files() == 3);
    CHECK(one.tensor_bytes() == three.tensor_bytes());
    CHECK(three.tensor_bytes() == 942912);
    REQUIRE(one.tensors().size() == three.tensors().size());
    for (const TensorInfo& tensor : one.tensors()) {
        CAPTURE(tensor.name);
        CHECK(same_bytes(one.load(tensor.name), three.load(tensor.name)));
    }
}

namespace {

/// A copy of the sharded golden that a test may damage.
std::filesystem::path copy_of_sharded(const TemporaryDirectory& scratch) {
    std::filesystem::copy(kGolden / "sharded", scratch / "model",
                          std::filesystem::copy_options::recursive);
    return scratch / "model";
}

void replace_in(const std::filesystem::path& path, const std::string& from, const std::string& to) {
    std::string text = hadal::read_file(path);
    const size_t place = text.find(from);
    REQUIRE(place != std::string::npos);
    text.replace(place, from.size(), to);
    hadal::write_file_atomically(path, text);
}

std::string complaint(const std::filesystem::path& directory) {
    try {
        HuggingFace::open(directory);
    } catch (const Error& error) {
        CHECK(error.exit_status() == 2);
        CHECK(std::string(error.what()).find('\n') == std::string::npos);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const std::string& part) {
    CAPTURE(text);
    CAPTURE(part);
    const bool found = text.find(part) != std::string::npos;
    CHECK(found);
    return found;
}

}  // namespace

TEST_CASE("hugging_face: a directory that is no model says what it lacks") {
    const TemporaryDirectory scratch;
    CHECK(contains(complaint(scratch / "absent"), "no such model directory"));
    CHECK(contains(complaint(scratch.path()), "no config.json"));
    hadal::write_file_atomically(scratch / "config.json", "{}");
    CHECK(contains(complaint(scratch.path()), "neither model.safetensors nor"));
    CHECK(contains(complaint(scratch / "config.json"), "no such model directory"));
}

TEST_CASE("hugging_face: a shard that is missing is named and the missing are counted") {
    const TemporaryDirectory scratch;
    const auto model = copy_of_sharded(scratch);
    std::filesystem::remove(model / "model-00002-of-00003.safetensors");
    std::filesystem::remove(model / "model-00003-of-00003.safetensors");
    CHECK(contains(complaint(model),
                   "'model-00002-of-00003.safetensors' of the model is missing, 2 of 3"));
}

TEST_CASE("hugging_face: a shard cut short is named") {
    const TemporaryDirectory scratch;
    const auto model = copy_of_sharded(scratch);
    std::filesystem::resize_file(model / "model-00002-of-00003.safetensors", 300'000);
    const std::string message = complaint(model);
    CHECK(contains(message, "fetch this file again"));
    CHECK(contains(message, "model-00002-of-00003.safetensors"));
}

TEST_CASE("hugging_face: an index that disagrees with the files names the tensor") {
    const auto after = [](const std::string& from, const std::string& to) {
        const TemporaryDirectory scratch;
        const auto model = copy_of_sharded(scratch);
        replace_in(model / "model.safetensors.index.json", from, to);
        return complaint(model);
    };
    const std::string entry = R"("lm_head.weight": "model-00001-of-00003.safetensors")";
    CHECK(contains(after(entry, R"("lm_head.weight": "model-00002-of-00003.safetensors")"),
                   "'lm_head.weight' is here, but the index places it in"));
    CHECK(contains(after(entry + ",", ""),
                   "'lm_head.weight' is here, but the index does not know it"));
    CHECK(contains(after(entry, R"("more.weight": "model-00001-of-00003.safetensors", )" + entry),
                   "'more.weight' is missing, the index places it here"));
    CHECK(contains(after(entry, entry + ", " + entry), "'lm_head.weight' twice"));
    CHECK(contains(after(entry, R"("lm_head.weight": "../model-00001-of-00003.safetensors")"),
                   "no file name"));
    CHECK(contains(after(entry, R"("lm_head.weight": "/etc/passwd")"), "no file name"));
    CHECK(contains(after(entry, R"("lm_head.weight": 1)"),
                   "no file name for tensor 'lm_head.weight'"));
    CHECK(contains(after(entry, R"("lm_head.weight": {"a": "b"})"), "no file name"));
    CHECK(contains(after("weight_map", "weight_nap"), "no \"weight_map\""));
    CHECK(contains(after(": {", ": "), "not valid JSON"));
}

TEST_CASE("hugging_face: the index's metadata may be wrong, empty or absent") {
    for (const std::string metadata :
         {"", R"("metadata": {},)",
          R"("metadata": {"total_size": 0, "x": [1, {"weight_map": 2}]},)"}) {
        CAPTURE(metadata);
        const TemporaryDirectory scratch;
        const auto model = copy_of_sharded(scratch);
        const auto index = model / "model.safetensors.index.json";
        const std::string text = hadal::read_file(index);
        hadal::write_file_atomically(index,
                                     "{" + metadata + text.substr(text.find("\"weight_map\"")));
        CHECK(HuggingFace::open(model).tensor_bytes() == 942912);
    }
}

TEST_CASE(
    "hugging_face: a float8 weight without its scale, or with one of the wrong shape, is refused") {
    const auto load = [](const std::vector<TensorSpec>& specs) -> std::string {
        const TemporaryDirectory scratch;
        HuggingFaceWriter writer(scratch / "model", specs);
        writer.add_file("config.json", "{}");
        for (const TensorSpec& spec : specs)
            writer.add(spec.name, Tensor::zeros(spec.shape, spec.dtype));
        writer.finish();
        try {
            HuggingFace::open(scratch / "model").load("w", DType::bf16);
        } catch (const Error& error) {
            CHECK(error.exit_status() == 2);
            return error.what();
        }
        return "";
    };
    const TensorSpec w{"w", DType::f8_e4m3, {129, 5}};
    CHECK(load({w, {"w_scale_inv", DType::f32, {2, 1}}}).empty());
    CHECK(contains(load({w}), "tensor 'w_scale_inv' is missing"));
    CHECK(contains(load({w, {"w_scale_inv", DType::f32, {1, 1}}}), "'w_scale_inv' is [1, 1] f32"));
    CHECK(
        contains(load({w, {"w_scale_inv", DType::bf16, {2, 1}}}), "'w_scale_inv' is [2, 1] bf16"));
    CHECK(contains(load({{"w", DType::i64, {2}}}),
                   "tensor 'w': a tensor of type i64 cannot be read as bf16"));
}

TEST_CASE("hugging_face: a tensor is a view where the type is the wanted one, else converted") {
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    const Tensor stored = model.load("lm_head.weight");
    CHECK(model.load("lm_head.weight", DType::f32).data() == stored.data());
    const Tensor narrow = model.load("lm_head.weight", DType::bf16);
    CHECK(narrow.shape() == stored.shape());
    for (size_t i = 0; i < size_t(stored.count()); ++i) {
        CHECK(narrow.values<hadal::bf16>()[i] == hadal::to_bf16(stored.values<float>()[i]));
    }
    CHECK_THROWS_WITH_AS(model.load("lm_head.bias"),
                         doctest::Contains("tensor 'lm_head.bias' is missing"), Error);
    CHECK(model.contains("lm_head.weight"));
    CHECK_FALSE(model.contains("lm_head.bias"));
}
