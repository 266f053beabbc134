#include "model/save_model.h"

#include <cstring>
#include <map>

#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"
#include "model/support.h"

using namespace hadal;
using namespace hadal::model;

namespace {

std::map<std::string, std::string> contents(const std::filesystem::path& directory) {
    std::map<std::string, std::string> found;
    for (const auto& entry : std::filesystem::directory_iterator(directory))
        found[entry.path().filename().string()] = read_file(entry.path());
    return found;
}

ModelConfig shape(bool mtp, bool tied) {
    ModelConfig config = preset("tiny");
    config.num_nextn_predict_layers = mtp ? 2 : 0;
    config.tie_word_embeddings = tied;
    return config;
}

}  // namespace

TEST_CASE("save_model: a fresh model written piece by piece is the one made whole") {
    for (const DType dtype : {DType::bf16, DType::f32}) {
        for (const auto& [mtp, tied] : {std::pair{false, false}, {true, false}, {true, true}}) {
            CAPTURE(name(dtype));
            CAPTURE(mtp);
            CAPTURE(tied);
            const ModelConfig config = shape(mtp, tied);
            const test::TemporaryDirectory folder;
            test::Machine machine(2);
            Weights weights = init_weights(machine.context, config, dtype, 5);
            save_model(folder / "whole", config, weights, {.files = {{"notes.txt", "x"}}});
            save_fresh_model(machine.context, folder / "pieces", config, dtype, 5,
                             {.files = {{"notes.txt", "x"}}});
            CHECK(contents(folder / "whole") == contents(folder / "pieces"));
            CHECK(contents(folder / "pieces").at("notes.txt") == "x");
        }
    }
}

TEST_CASE("save_model: what was written is loaded, router biases in f32 whatever the type") {
    const ModelConfig config = shape(true, false);
    const test::TemporaryDirectory folder;
    test::Machine machine(1);
    save_fresh_model(machine.context, folder / "model", config, DType::bf16, 5);
    const Model loaded = load_model(folder / "model", DType::bf16);
    Weights made = init_weights(machine.context, config, DType::bf16, 5);
    Weights found = loaded.weights;
    const auto wanted = parameters(config, made), got = parameters(config, found);
    REQUIRE(wanted.size() == got.size());
    for (size_t i = 0; i < wanted.size(); ++i) {
        CAPTURE(wanted[i].name);
        CHECK(got[i].tensor->dtype() == parameter_dtype(wanted[i], DType::bf16));
        REQUIRE(got[i].tensor->bytes() == wanted[i].tensor->bytes());
        CHECK(std::memcmp(got[i].tensor->data(), wanted[i].tensor->data(),
                          size_t(got[i].tensor->bytes())) == 0);
    }
}

TEST_CASE("save_model: an existing model is replaced on request only, and then whole") {
    const test::TemporaryDirectory folder;
    test::Machine machine(1);
    const auto save = [&](bool force, uint64_t seed) {
        save_fresh_model(machine.context, folder / "model", shape(false, false), DType::bf16, seed,
                         {.force = force});
    };
    save(false, 1);
    const auto before = contents(folder / "model");
    CHECK_THROWS_AS(save(false, 2), Error);
    CHECK(contents(folder / "model") == before);
    save(true, 2);
    CHECK(contents(folder / "model") != before);
}
