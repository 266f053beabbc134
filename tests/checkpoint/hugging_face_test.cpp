#include "checkpoint/hugging_face.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>
#include <string>

#include "checkpoint/hugging_face_writer.h"
#include "checkpoint/temporary_directory.h"

using hadal::DType;
using hadal::Error;
using hadal::Tensor;
using hadal::checkpoint::HuggingFace;
using hadal::checkpoint::HuggingFaceWriter;
using hadal::checkpoint::TensorInfo;
using hadal::checkpoint::TensorSpec;
using hadal::test::TemporaryDirectory;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(HADAL_TEST_DATA) / "golden";

bool same_bytes(const Tensor& a, const Tensor& b) {
    return a.dtype() == b.dtype() && a.shape() == b.shape() &&
           std::memcmp(a.data(), b.data(), size_t(a.bytes())) == 0;
}

std::vector<TensorSpec> specs_of(const HuggingFace& model) {
    std::vector<TensorSpec> specs;
    for (const TensorInfo& tensor : model.tensors()) {
        specs.push_back({tensor.name, tensor.dtype, tensor.shape});
    }
    return specs;
}

void write_copy(const HuggingFace& model, const std::filesystem::path& directory,
                const hadal::checkpoint::HuggingFaceOptions& options) {
    HuggingFaceWriter writer(directory, specs_of(model), options);
    writer.add_file("config.json", model.config_text());
    for (const TensorInfo& tensor : model.tensors())
        writer.add(tensor.name, model.load(tensor.name));
    writer.finish();
}

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

TEST_CASE("hugging_face: what is written reads back, in one file and in several") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "fp8");
    for (const int64_t limit : {int64_t(100'000), int64_t(5'000'000'000)}) {
        CAPTURE(limit);
        const auto directory = scratch / ("model-" + std::to_string(limit));
        write_copy(model, directory, {.max_shard_bytes = limit});
        const HuggingFace copy = HuggingFace::open(directory);
        CHECK((copy.num_files() > 1) == (limit == 100'000));
        CHECK(copy.config_text() == model.config_text());
        REQUIRE(copy.tensors().size() == model.tensors().size());
        for (const TensorInfo& tensor : model.tensors()) {
            CAPTURE(tensor.name);
            CHECK(same_bytes(copy.load(tensor.name), model.load(tensor.name)));
        }
    }
    CHECK(scratch.num_entries() == 2);
}
