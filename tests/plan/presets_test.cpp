#include "plan/presets.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <filesystem>
#include <string>

#include "core/error.h"
#include "plan/answers.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

void check_text(const std::string& text, const char* part) {
    CAPTURE(text);
    const auto read = [&] {
        Inputs inputs;
        inputs.cluster = "my.toml";
        apply_preset_text(inputs, PresetKind::cluster, text, "my.toml");
        check_complete(inputs);
    };
    CHECK_THROWS_WITH_AS(read(), doctest::Contains(part), Error);
}

}  // namespace

TEST_CASE("presets: every cluster is complete, and each of its figures has a source") {
    for (const std::string& name : preset_names(PresetKind::cluster)) {
        CAPTURE(name);
        Inputs inputs = test::cluster(name);
        CHECK_NOTHROW(check_complete(inputs));
        CHECK(inputs.cluster == name);
        for (const InputKey& key : input_keys(inputs)) {
            CAPTURE(key.name);
            CHECK(!origin_of(inputs, key).text.empty());
        }
    }
}

TEST_CASE("presets: every scenario can be asked about") {
    for (const std::string& name : preset_names(PresetKind::scenario)) {
        CAPTURE(name);
        Inputs inputs = test::published_run();
        apply_preset(inputs, PresetKind::scenario, name);
        const model::ModelConfig config = model::preset(inputs.model);
        CHECK_NOTHROW(answer_train(config, inputs));
        if (name != "kimi-k2") CHECK_NOTHROW(answer_serve(config, inputs));
        CHECK_NOTHROW(answer_memory(config, inputs));
        CHECK_NOTHROW(answer_failures(config, inputs));
    }
}

TEST_CASE("presets: an unknown one names the nearest") {
    Inputs inputs;
    CHECK_THROWS_WITH_AS(apply_preset(inputs, PresetKind::cluster, "h800-2408"),
                         doctest::Contains("did you mean 'h800-2048'"), Error);
    CHECK_THROWS_WITH_AS(apply_preset(inputs, PresetKind::scenario, "mtp-5"),
                         doctest::Contains("did you mean 'mtp-"), Error);
    CHECK_THROWS_WITH_AS(apply_preset(inputs, PresetKind::cluster, "nowhere.toml"),
                         doctest::Contains("unknown cluster"), Error);
}

TEST_CASE("custom cluster: a base and what differs from it") {
    Inputs inputs;
    apply_preset_text(inputs, PresetKind::cluster,
                      "base = \"h100\"\n[network]\nscale_out_gb_per_s = 100\n"
                      "gpus_per_node = { value = 16, assumed = \"next year\" }\n",
                      "my.toml");
    CHECK(inputs.network.scale_out_gb_per_s == 100);
    CHECK(inputs.network.gpus_per_node == 16);
    CHECK(inputs.gpu.name == "H100 SXM");
    CHECK(inputs.origins.at("network.scale_out_gb_per_s").kind == Origin::Kind::given);
    CHECK(inputs.origins.at("network.gpus_per_node").kind == Origin::Kind::assumed);
    CHECK(inputs.origins.at("gpu.memory_gb").kind == Origin::Kind::source);
}

TEST_CASE("custom cluster: what is wrong is named with its line") {
    check_text("base = \"h101\"", "did you mean 'h100'");
    check_text("base = \"h100\"\n[network]\nscale_out_gb_per_s = -1", "line 3");
    check_text("base = \"h100\"\n[network]\nscale_out_gb_per_s = -1", "must be between");
    check_text("base = \"h100\"\n[network]\nscale_out_gb_per_s = 0", "must be between");
    check_text("base = \"h100\"\n[network]\nscale_out_gbps = 1", "did you mean");
    check_text("[gpu]\nbf16_tflops = 1", "is missing");
    check_text("[gpu", "line 1");
    check_text("gpu = 3", "unknown key 'gpu'");
    check_text("base = \"h100\"\n[gpu]\nmemory_gb = { value = 3 }", "wants { value");
    check_text("base = \"h100\"\n[gpu]\nmemory_gb = { value = 3, because = \"x\" }", "needs its");
    check_text("base = \"h100\"\n[gpu]\nmemory_gb = \"much\"", "wants a number");
    check_text("base = \"h100\"\n[gpu]\nmemory_gb = [3]", "wants a number or a text");
    check_text("base = \"h100\"\n[layout]\npp = 2.5", "wants a whole number");
    check_text("base = \"h100\"\n[layout]\nschedule = \"dualpip\"", "did you mean 'dualpipe'");
    check_text("base = \"h100\"\n[gpu]\nmemory_gb = nan", "wants a number");
}

TEST_CASE("inputs: a short name is enough where one key ends so, or the layout's does") {
    CHECK(full_input_name("scale_out_gb_per_s", "test") == "network.scale_out_gb_per_s");
    CHECK(full_input_name("gpus", "test") == "layout.gpus");
    CHECK(full_input_name("decode.gpus", "test") == "decode.gpus");
    CHECK_THROWS_WITH_AS(full_input_name("redundant", "test"),
                         doctest::Contains("prefill.redundant or decode.redundant"), Error);
    CHECK_THROWS_WITH_AS(full_input_name("layout.bach", "test"),
                         doctest::Contains("did you mean 'layout.batch'"), Error);
}

TEST_CASE("presets: what is compiled in is what the folder of recipes holds") {
    const std::filesystem::path recipes = std::filesystem::path(HADAL_TEST_DATA) / "../recipes";
    for (const auto kind : {PresetKind::cluster, PresetKind::scenario}) {
        const char* folder = kind == PresetKind::cluster ? "clusters" : "scenarios";
        std::vector<std::string> files;
        for (const auto& entry : std::filesystem::directory_iterator(recipes / folder)) {
            if (entry.path().extension() != ".toml") continue;
            files.push_back(entry.path().stem().string());
            CAPTURE(files.back());
            Inputs from_file = test::published_run(), compiled = test::published_run();
            apply_preset(from_file, kind, entry.path().string());
            apply_preset(compiled, kind, files.back());
            const auto keys = input_keys(from_file), same = input_keys(compiled);
            for (size_t i = 0; i < keys.size(); ++i)
                CHECK(input_text(keys[i]) == input_text(same[i]));
        }
        std::vector<std::string> names = preset_names(kind);
        std::ranges::sort(files);
        std::ranges::sort(names);
        CHECK(files == names);
    }
}

}  // namespace hadal::plan
