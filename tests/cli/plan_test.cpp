// `hadal plan train`, `memory`, `serve`, `failures` as processes: JSON, text, sweeps, presets.
#include <doctest/doctest.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <sstream>

#include "checkpoint/temporary_directory.h"
#include "cli/program.h"
#include "core/file_map.h"
#include "core/json.h"

using namespace hadal;
using test::Program;

namespace {

std::string output(const std::filesystem::path& folder, std::vector<std::string> words) {
    const Program program(folder, std::move(words));
    REQUIRE(program.wait() == 0);
    return program.out();
}

nlohmann::json answer(const std::filesystem::path& folder, std::vector<std::string> words) {
    words.emplace_back("--json");
    return parse_json(output(folder, std::move(words)), "standard output");
}

}  // namespace

TEST_CASE("plan: JSON carries every figure with its mark, and every input with its source") {
    const test::TemporaryDirectory folder;
    for (const char* what : {"train", "memory", "serve", "failures"}) {
        CAPTURE(what);
        const auto json = answer(folder.path(), {"plan", what});
        REQUIRE(json["figures"].size() >= 5);
        for (const auto& figure : json["figures"]) {
            const std::string mark = figure["mark"];
            CHECK((mark == "input" || mark == "calibration" || mark == "prediction"));
            CHECK(json[figure["key"].get<std::string>()] == figure["value"]);
            if (figure.contains("published")) CHECK(!figure["source"].get<std::string>().empty());
        }
        REQUIRE(json["inputs"].size() >= 5);
        for (const auto& input : json["inputs"]) {
            CAPTURE(input.dump());
            CHECK(!input["source"].get<std::string>().empty());
            CHECK(!input["kind"].get<std::string>().empty());
        }
    }
}

TEST_CASE("plan train: the published run in JSON") {
    const test::TemporaryDirectory folder;
    const auto json = answer(folder.path(), {"plan", "train", "v3-671b"});
    CHECK(json["gpu_hours"].get<double>() == doctest::Approx(2788e3).epsilon(0.03));
    CHECK(json["parameters"] == 671026419200.0);
    CHECK(json["flops"].size() == 8);
    CHECK(json["layer"].size() >= 5);
}

TEST_CASE("plan: what the command line gives is marked as given, and compared with nothing") {
    const test::TemporaryDirectory folder;
    const auto json = answer(folder.path(), {"plan", "train", "--gpus", "4096"});
    const auto input = std::ranges::find_if(
        json["inputs"], [](const auto& entry) { return entry["key"] == "layout.gpus"; });
    REQUIRE(input != json["inputs"].end());
    CHECK((*input)["value"] == "4096");
    CHECK((*input)["kind"] == "given");
    for (const auto& figure : json["figures"]) CHECK(!figure.contains("published"));
}

TEST_CASE("plan: a sweep is a table, and a picture that is not overwritten") {
    const test::TemporaryDirectory folder;
    const std::string svg = (folder / "sweep.svg").string();
    const auto json =
        answer(folder.path(), {"plan", "train", "--sweep", "pp=8,16,15", "--svg", svg});
    REQUIRE(json["sweep"].size() == 3);
    CHECK(json["sweep"][0]["value"] == "8");
    CHECK(json["sweep"][1]["step_seconds"].get<double>() == doctest::Approx(19.9).epsilon(0.01));
    CHECK(json["sweep"][2]["step_seconds"].is_null());
    CHECK(json["sweep"][2]["error"].get<std::string>().find("not a multiple") != std::string::npos);
    CHECK(read_file(svg).ends_with("</svg>\n"));
    const Program again(folder.path(), {"plan", "train", "--sweep", "pp=8,16", "--svg", svg});
    CHECK(again.wait() == 2);
    const Program forced(folder.path(),
                         {"plan", "train", "--sweep", "pp=8,16", "--svg", svg, "--force"});
    CHECK(forced.wait() == 0);
}

TEST_CASE("plan: clusters, models and scenarios can be swept by name") {
    const test::TemporaryDirectory folder;
    const auto clusters = answer(folder.path(), {"plan", "train", "--sweep", "cluster=h100,h200"});
    CHECK(clusters["sweep"][1]["value"] == "h200");
    const auto models =
        answer(folder.path(), {"plan", "train", "--sweep", "model=v3-671b,kimi-k2"});
    CHECK(models["sweep"].size() == 2);
    const auto depths =
        answer(folder.path(), {"plan", "train", "--sweep", "scenario=mtp-1,mtp-2,mtp-3,mtp-4"});
    double before = 0;
    for (const auto& row : depths["sweep"]) {
        CHECK(row["step_seconds"].get<double>() > before);
        before = row["step_seconds"];
    }
}

TEST_CASE("plan: a cluster and a model from files") {
    const test::TemporaryDirectory folder;
    const std::string cluster = (folder / "mine.toml").string();
    write_file_atomically(cluster, "base = \"h100\"\n[layout]\ngpus = 1\n");
    const std::string text =
        output(folder.path(), {"plan", "serve", "v3-16b", "--cluster", cluster});
    CHECK(text.find("Serving from one machine") != std::string::npos);
    CHECK(text.find("H100 SXM") != std::string::npos);
    output(folder.path(), {"init", "--preset", "tiny", "--out", (folder / "model").string()});
    const auto json =
        answer(folder.path(), {"plan", "memory", (folder / "model").string(), "--pp", "1", "--ep",
                               "8", "--schedule", "1f1b", "--gpus", "8", "--batch", "64"});
    CHECK(json["fullest_rank_bytes"].get<double>() > 0);
}

TEST_CASE("plan --list-inputs: all keys, and no answer") {
    const test::TemporaryDirectory folder;
    const std::string text = output(folder.path(), {"plan", "train", "--list-inputs"});
    CHECK(text.find("efficiency.dispatch") != std::string::npos);
    CHECK(text.find("decode.acceptance") != std::string::npos);
    CHECK(text.find("GPU-hours per trillion") == std::string::npos);
}

TEST_CASE("planning page: every command on it works as it stands") {
    const test::TemporaryDirectory folder;
    std::istringstream page(read_file(std::string(HADAL_TEST_DATA) + "/../docs/planning.md"));
    int commands = 0;
    for (std::string line; std::getline(page, line);) {
        if (!line.starts_with("hadal plan ")) continue;
        CAPTURE(line);
        std::istringstream words(line.substr(0, line.find('#')));
        std::vector<std::string> arguments;
        for (std::string word; words >> word;) arguments.push_back(word);
        arguments.erase(arguments.begin());
        // Pictures belong into this test's folder.
        for (std::string& argument : arguments) {
            if (argument.ends_with(".svg")) argument = (folder / argument).string();
        }
        const Program program(folder.path(), arguments);
        CHECK(program.wait() == 0);
        ++commands;
    }
    CHECK(commands >= 8);
}
