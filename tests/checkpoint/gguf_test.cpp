// The container and the block formats against the reference package's numbers, and files that
// contradict themselves.
#include "checkpoint/gguf.h"

#include <doctest/doctest.h>

#include <cstring>
#include <fstream>

#include "checkpoint/gguf_text.h"
#include "checkpoint/safetensors.h"
#include "checkpoint/temporary_directory.h"

using namespace hadal;
using namespace hadal::checkpoint;
using hadal::test::GgufText;
using hadal::test::TemporaryDirectory;

namespace {

std::filesystem::path golden(const std::string& name) {
    return std::filesystem::path(HADAL_TEST_DATA) / "golden/gguf" / name;
}

GgufHeader parse(const std::string& file) {
    return parse_gguf(std::as_bytes(std::span(file)), "here");
}

/// The message of the Error, which must be of `kind`.
std::string refused(const std::string& file, Error::Kind kind = Error::Kind::corrupt_file) {
    try {
        parse(file);
    } catch (const Error& error) {
        CHECK(error.kind() == kind);
        CHECK(std::string(error.what()).ends_with("here"));
        return error.what();
    }
    FAIL_CHECK("was not refused");
    return "";
}

bool contains(const std::string& text, std::string_view part) {
    return text.find(part) != std::string::npos;
}

/// Two tensors of 3·32 and 32 float32.
GgufText two_tensors() {
    GgufText file;
    file.text("general.architecture", "none");
    file.tensor("a", {32, 3}, 0, std::string(384, 'a'));
    file.tensor("b", {32}, 0, std::string(128, 'b'));
    return file;
}

}  // namespace

TEST_CASE("gguf: every type is dequantised to the bits of the reference package") {
    const Gguf file = Gguf::open(golden("blocks.gguf"));
    const Safetensors expected = Safetensors::open(golden("blocks.safetensors"));
    CHECK(file.tensors().size() == 9);
    for (const TensorInfo& info : expected.tensors()) {
        CAPTURE(info.name);
        const GgufTensor* tensor = file.find(info.name);
        REQUIRE(tensor != nullptr);
        CHECK(tensor->shape == info.shape);
        CHECK(formats::ggml_type_name(uint32_t(tensor->type)) == info.name);
        Tensor values = Tensor::zeros(info.shape, DType::f32);
        formats::dequantize_blocks(tensor->type, file.bytes(*tensor), values.values<float>());
        const Tensor golden = expected.load(info);
        CHECK(std::memcmp(values.values<float>().data(), golden.values<float>().data(),
                          size_t(info.bytes())) == 0);
    }
}

TEST_CASE("gguf: values keep their kind, and a float32 is the decimal that was meant") {
    const Gguf file = Gguf::open(golden("model.gguf"));
    CHECK(file.text("general.architecture") == "deepseek2");
    CHECK(file.integer("deepseek2.expert_count") == 8);
    CHECK(file.number("deepseek2.attention.layer_norm_rms_epsilon") == 1e-6);
    CHECK(file.number("deepseek2.expert_weights_scale") == 2.5);
    CHECK(file.truth("deepseek2.expert_weights_norm") == true);
    CHECK(!file.text("general.absent"));
    CHECK_THROWS_WITH_AS(file.text("deepseek2.expert_count"), doctest::Contains("is not a text"),
                         Error);
    const GgufTensor* experts = file.find("blk.1.ffn_down_exps.weight");
    REQUIRE(experts != nullptr);
    CHECK(experts->shape == Shape{8, 64, 20});
    CHECK(file.find("blk.9.ffn_down_exps.weight") == nullptr);
}

TEST_CASE("gguf: lists of texts and of numbers come back") {
    GgufText text;
    text.texts("words", {"one", "", "three"});
    text.integers("numbers", {1, -2, 3});
    const TemporaryDirectory directory;
    std::ofstream(directory / "x.gguf", std::ios::binary) << text.file();
    const Gguf file = Gguf::open(directory / "x.gguf");
    CHECK(file.texts("words") == std::vector<std::string_view>{"one", "", "three"});
    CHECK(file.integers("numbers") == std::vector<int64_t>{1, -2, 3});
    CHECK_THROWS_WITH_AS(file.texts("numbers"), doctest::Contains("no list of texts"), Error);
    CHECK_THROWS_WITH_AS(file.integers("words"), doctest::Contains("no list of whole"), Error);
}

TEST_CASE("gguf: a file cut anywhere is refused") {
    const std::string file = two_tensors().file();
    CHECK(parse(file).tensors.size() == 2);
    for (size_t bytes = 0; bytes < file.size(); ++bytes) {
        CAPTURE(bytes);
        CHECK_THROWS_AS(parse(file.substr(0, bytes)), Error);
    }
}

TEST_CASE("gguf: the beginning says what the file is") {
    std::string file = two_tensors().file();
    CHECK(contains(refused("GGML" + file.substr(4)), "no GGUF file"));
    file[4] = 1;
    CHECK(contains(refused(file, Error::Kind::unsupported), "version 1"));
    file[4] = 0;
    file[7] = 3;
    CHECK(contains(refused(file, Error::Kind::unsupported), "big-endian"));
    file[4] = 2;
    file[7] = 0;
    CHECK(parse(file).tensors.size() == 2);
}

TEST_CASE("gguf: counts beyond the file's bytes are refused before anything is reserved") {
    for (const size_t place : {size_t(8), size_t(16)}) {
        CAPTURE(place);
        std::string file = two_tensors().file();
        for (size_t i = 0; i < 8; ++i) file[place + i] = char(0xFF);
        refused(file);
    }
    GgufText lists;
    lists.integers("numbers", {1, 2});
    std::string file = lists.file();
    const size_t count = file.find("numbers") + 7 + 4 + 4;
    for (size_t i = 0; i < 8; ++i) file[count + i] = char(0x7F);
    CHECK(contains(refused(file), "'numbers' claims"));
}

TEST_CASE("gguf: a tensor must lie inside the file, aligned, over no other") {
    GgufText overlap = two_tensors();
    overlap.move("b", 352);
    CHECK(contains(refused(overlap.file()), "'b' overlaps 'a'"));
    GgufText askew = two_tensors();
    askew.move("b", 385);
    CHECK(contains(refused(askew.file()), "not aligned to 32"));
    GgufText outside = two_tensors();
    outside.move("b", 1 << 20);
    CHECK(contains(refused(outside.file()), "'b' needs 128 bytes"));
    GgufText far = two_tensors();
    far.move("b", ~uint64_t(31));
    CHECK(contains(refused(far.file()), "outside of the file"));
}

TEST_CASE("gguf: shapes that cannot be are refused") {
    const auto with = [](std::vector<uint64_t> sizes, uint32_t type) {
        GgufText file;
        file.tensor("t", std::move(sizes), type, std::string(64, 0));
        return file.file();
    };
    CHECK(contains(refused(with({}, 0)), "0 dimensions"));
    CHECK(contains(refused(with({1, 1, 1, 1, 1}, 0)), "5 dimensions"));
    CHECK(contains(refused(with({0}, 0)), "impossible shape"));
    CHECK(contains(refused(with({1ull << 32, 1ull << 32}, 0)), "impossible shape"));
    CHECK(contains(refused(with({1ull << 62, 4}, 0)), "impossible shape"));
    CHECK(contains(refused(with({33}, 8)), "no multiple of its blocks of 32"));
    CHECK(contains(refused(with({128}, 12)), "no multiple of its blocks of 256"));
}

TEST_CASE("gguf: a type that is not read is named") {
    const auto of_type = [](uint32_t type) {
        GgufText file;
        file.tensor("blk.0.ffn_up.weight", {256}, type, std::string(256, 0));
        return refused(file.file(), Error::Kind::unsupported);
    };
    CHECK(contains(of_type(10), "'blk.0.ffn_up.weight' has type Q2_K"));
    CHECK(contains(of_type(16), "IQ2_XXS"));
    CHECK(contains(of_type(77), "type number 77"));
}

TEST_CASE("gguf: names that come twice are refused") {
    GgufText keys;
    keys.text("k", "1");
    keys.text("k", "2");
    CHECK(contains(refused(keys.file()), "'k' is given twice"));
    GgufText tensors;
    tensors.tensor("t", {8}, 0, std::string(32, 0));
    tensors.tensor("t", {8}, 0, std::string(32, 0));
    const TemporaryDirectory directory;
    std::ofstream(directory / "x.gguf", std::ios::binary) << tensors.file();
    CHECK_THROWS_WITH_AS(Gguf::open(directory / "x.gguf"), doctest::Contains("'t' is given twice"),
                         Error);
}

TEST_CASE("gguf: the alignment is the file's own, if it is one") {
    GgufText file;
    file.integer("general.alignment", 128);
    file.tensor("t", {8}, 0, std::string(32, 'x'));
    file.set_alignment(128);
    CHECK(parse(file.file()).tensors[0].offset % 128 == 0);
    for (const uint32_t wrong : {0u, 3u, 1u << 30}) {
        GgufText bad;
        bad.integer("general.alignment", wrong);
        bad.tensor("t", {8}, 0, std::string(32, 'x'));
        CHECK(contains(refused(bad.file()), "general.alignment"));
    }
}

TEST_CASE("gguf: a model in parts opens by any of them, and says which is missing") {
    const auto part = [](uint32_t number, const std::string& tensor) {
        GgufText file;
        if (number == 0) file.text("general.name", "whole");
        file.integer("split.no", number);
        file.integer("split.count", 2);
        file.integer("split.tensors.count", 2);
        file.tensor(tensor, {8}, 0, std::string(32, tensor[0]));
        return file.file();
    };
    const TemporaryDirectory directory;
    std::ofstream(directory / "m-00001-of-00002.gguf", std::ios::binary) << part(0, "a");
    CHECK_THROWS_WITH_AS(Gguf::open(directory / "m-00001-of-00002.gguf"),
                         doctest::Contains("m-00002-of-00002.gguf"), Error);
    std::ofstream(directory / "m-00002-of-00002.gguf", std::ios::binary) << part(1, "b");
    for (const std::string name : {"m-00001-of-00002.gguf", "m-00002-of-00002.gguf"}) {
        const Gguf file = Gguf::open(directory / name);
        CHECK(file.text("general.name") == "whole");
        REQUIRE(file.find("b") != nullptr);
        CHECK(char(file.bytes(*file.find("b"))[5]) == 'b');
        CHECK(char(file.bytes(*file.find("a"))[5]) == 'a');
    }
    std::ofstream(directory / "renamed.gguf", std::ios::binary) << part(0, "a");
    CHECK_THROWS_WITH_AS(Gguf::open(directory / "renamed.gguf"),
                         doctest::Contains("does not end with '-00001-of-00002.gguf'"), Error);
}
