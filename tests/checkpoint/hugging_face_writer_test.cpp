#include "checkpoint/hugging_face_writer.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/resource.h>

#include <string>

#include "checkpoint/hugging_face.h"
#include "checkpoint/model_copy.h"
#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"

using hadal::Error;
using hadal::checkpoint::HuggingFace;
using hadal::checkpoint::HuggingFaceWriter;
using hadal::test::same_bytes;
using hadal::test::specs_of;
using hadal::test::TemporaryDirectory;
using hadal::test::write_copy;

namespace {

const std::filesystem::path kGolden = std::filesystem::path(HADAL_TEST_DATA) / "golden";

}  // namespace

TEST_CASE("hugging_face_writer: what is written reads back, in one file and in several") {
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
        for (const hadal::checkpoint::TensorInfo& tensor : model.tensors()) {
            CAPTURE(tensor.name);
            CHECK(same_bytes(copy.load(tensor.name), model.load(tensor.name)));
        }
    }
    CHECK(scratch.num_entries() == 2);
}

TEST_CASE("hugging_face_writer: an existing directory stays as it is without force") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    write_copy(model, scratch / "model", {});
    CHECK_THROWS_WITH_AS(write_copy(model, scratch / "model", {}),
                         doctest::Contains("already exists"), Error);
    CHECK(scratch.num_entries() == 1);
}

TEST_CASE("hugging_face_writer: force replaces a model directory and nothing else") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    write_copy(model, scratch / "model", {});
    hadal::write_file_atomically(scratch / "model" / "old.txt", "old");
    write_copy(model, scratch / "model", {.max_shard_bytes = 300'000, .force = true});
    CHECK_FALSE(std::filesystem::exists(scratch / "model" / "old.txt"));
    CHECK(HuggingFace::open(scratch / "model").num_files() > 1);
    CHECK(scratch.num_entries() == 1);

    std::filesystem::create_directory(scratch / "home");
    hadal::write_file_atomically(scratch / "home" / "letter.txt", "dear");
    CHECK_THROWS_WITH_AS(write_copy(model, scratch / "home", {.force = true}),
                         doctest::Contains("is not a model directory"), Error);
    CHECK(hadal::read_file(scratch / "home" / "letter.txt") == "dear");
    CHECK(scratch.num_entries() == 2);
}

TEST_CASE(
    "hugging_face_writer: a writer that is given up leaves nothing, and the old model in place") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    write_copy(model, scratch / "model", {});
    {
        HuggingFaceWriter writer(scratch / "model", specs_of(model), {.force = true});
        writer.add_file("config.json", "{}");
        writer.add("lm_head.weight", model.load("lm_head.weight"));
        CHECK(scratch.num_entries() == 2);
    }
    CHECK(scratch.num_entries() == 1);
    CHECK(HuggingFace::open(scratch / "model").config_text() == model.config_text());
}

TEST_CASE(
    "hugging_face_writer: parents of the directory are made, a slash at its end changes nothing") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    write_copy(model, scratch / "runs/one/model/", {});
    CHECK(HuggingFace::open(scratch / "runs/one/model").tensors().size() == model.tensors().size());
}

TEST_CASE("hugging_face_writer: a full disk leaves the old model and nothing half-written") {
    const TemporaryDirectory scratch;
    const HuggingFace model = HuggingFace::open(kGolden / "base");
    write_copy(model, scratch / "model", {});
    const auto old_handler = ::signal(SIGXFSZ, SIG_IGN);
    rlimit unlimited{};
    ::getrlimit(RLIMIT_FSIZE, &unlimited);
    for (const rlim_t bytes : {100, 10'000, 250'000}) {
        CAPTURE(bytes);
        const rlimit limited{bytes, unlimited.rlim_max};
        ::setrlimit(RLIMIT_FSIZE, &limited);
        std::string message;
        try {
            write_copy(model, scratch / "model", {.max_shard_bytes = 300'000, .force = true});
        } catch (const Error& error) {
            message = error.what();
        }
        ::setrlimit(RLIMIT_FSIZE, &unlimited);
        CHECK(message.find("File too large") != std::string::npos);
        CHECK(scratch.num_entries() == 1);
        CHECK(HuggingFace::open(scratch / "model").num_files() == 1);
    }
    ::signal(SIGXFSZ, old_handler);
}

TEST_CASE(
    "hugging_face_writer: what a killed process left of the same target is removed, nothing else") {
    const TemporaryDirectory scratch;
    const std::string dead = "99999999";  // beyond the largest process number of Linux
    for (const std::string& name : {"model.tmp-" + dead, "other.tmp-" + dead,
                                    std::string("model.tmp-x"), std::string("model.tmp-1")}) {
        std::filesystem::create_directory(scratch / name);
    }
    write_copy(HuggingFace::open(kGolden / "base"), scratch / "model", {});
    CHECK_FALSE(std::filesystem::exists(scratch / ("model.tmp-" + dead)));
    CHECK(scratch.num_entries() == 4);
}
