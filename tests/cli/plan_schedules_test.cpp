// `hadal plan pipeline` and `hadal plan balance` as processes: what they print and write.
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "checkpoint/temporary_directory.h"
#include "cli/program.h"
#include "core/json.h"

using namespace hadal;
using test::Program;

namespace {

nlohmann::json answer(const std::filesystem::path& folder, std::vector<std::string> words) {
    words.emplace_back("--json");
    const Program program(folder, std::move(words));
    REQUIRE(program.wait() == 0);
    return parse_json(program.out(), "standard output");
}

}  // namespace

TEST_CASE("plan pipeline: one schedule with its inputs, figures and pictures") {
    const test::TemporaryDirectory folder;
    const std::string svg = (folder / "p.svg").string(), trace = (folder / "p.json").string();
    const auto json =
        answer(folder.path(), {"plan", "pipeline", "--schedule", "dualpipe", "--ranks", "8",
                               "--micro-batches", "20", "--text", "--svg", svg, "--trace", trace});
    CHECK(json["makespan"] == 66);
    CHECK(json["lower_bound"] == 63);
    CHECK(json["published_bubble"] == 6);
    CHECK(json["overlapped"] == 3);
    CHECK(json["per_rank"].size() == 8);
    CHECK(json["per_rank"][3]["peak_chunks"] == 9);
    CHECK(std::string(json["picture"]).find("▷10") != std::string::npos);
    CHECK(read_file(svg).ends_with("</svg>\n"));
    CHECK(parse_json(read_file(trace), trace).contains("traceEvents"));
}

TEST_CASE("plan pipeline: the comparison says which schedules cannot run, and why") {
    const test::TemporaryDirectory folder;
    const auto json = answer(
        folder.path(), {"plan", "pipeline", "--compare", "--ranks", "4", "--micro-batches", "7"});
    CHECK(json["schedules"].size() == 3);
    CHECK(json["impossible"].size() == 3);
    CHECK(json["schedules"][0]["idle"] == 9);
    CHECK(json["impossible"][1]["schedule"] == "dualpipe");
}

TEST_CASE("plan pipeline: two stages on a rank are half as long, so that schedules compare") {
    const test::TemporaryDirectory folder;
    const auto json = answer(
        folder.path(), {"plan", "pipeline", "--compare", "--ranks", "4", "--micro-batches", "8"});
    for (const auto& row : json["schedules"]) {
        CAPTURE(row.dump());
        CHECK(double(row["makespan"]) - double(row["idle"]) == doctest::Approx(24));
    }
}

TEST_CASE("plan pipeline: the head makes the rank that has it busier, and the others wait") {
    const test::TemporaryDirectory folder;
    const auto json = answer(folder.path(), {"plan", "pipeline", "--schedule", "1f1b", "--ranks",
                                             "2", "--micro-batches", "4", "--head", "0.5"});
    // Rank 1: 4 micro-batches of (1 + 0.5) + (2 + 1) after the first F of rank 0, whose B is last.
    CHECK(json["makespan"] == 1 + 4 * 4.5 + 2);
    CHECK(json["per_rank"][0]["busy"] == 12);
    CHECK(json["per_rank"][1]["busy"] == 18);
    CHECK(json["published_bubble"] == 3);
}

TEST_CASE("plan pipeline: a sweep is a row a value, and a picture") {
    const test::TemporaryDirectory folder;
    const std::string svg = (folder / "sweep.svg").string();
    const auto json = answer(folder.path(), {"plan", "pipeline", "--schedule", "1f1b", "--ranks",
                                             "4", "--sweep", "micro-batches=4,8,0", "--svg", svg});
    REQUIRE(json["sweep"].size() == 3);
    // 1F1B: the step is (M + P - 1) (F + B), idle P - 1 of M + P - 1.
    CHECK(json["sweep"][0]["makespan"] == 7 * 3);
    CHECK(json["sweep"][0]["idle"] == doctest::Approx(3 / 7.0));
    CHECK(json["sweep"][1]["makespan"] == 11 * 3);
    CHECK(json["sweep"][2]["makespan"].is_null());
    CHECK(json["sweep"][2]["error"].get<std::string>().find("micro-batches") != std::string::npos);
    CHECK(read_file(svg).find("micro-batches") != std::string::npos);
    const auto schedules = answer(
        folder.path(), {"plan", "pipeline", "--sweep", "schedule=1f1b,dualpipe", "--ranks", "4"});
    CHECK(schedules["sweep"][0]["weight_copies"] == 1);
    CHECK(schedules["sweep"][1]["weight_copies"] == 2);
    Program wrong(folder.path(), {"plan", "pipeline", "--sweep", "colour=1,2"});
    CHECK(wrong.wait() == 2);
    CHECK(wrong.err().find("unknown input 'colour'") != std::string::npos);
}

TEST_CASE("plan balance: before, after, and the slots for a program") {
    const test::TemporaryDirectory folder;
    const auto json =
        answer(folder.path(), {"plan", "balance", "--zipf", "0.8", "--layers", "2", "--gpus", "8",
                               "--nodes", "2", "--experts", "64", "--redundant", "8"});
    REQUIRE(json["placements"].size() == 2);
    CHECK(json["policy"] == "hierarchical");
    CHECK(double(json["placements"][1]["gpu_worst"]) < double(json["placements"][0]["gpu_worst"]));
    REQUIRE(json["layers"].size() == 2);
    CHECK(json["layers"][1]["expert_of_slot"].size() == 72);
}

TEST_CASE("plan balance: loads of a file, a sweep and its picture") {
    const test::TemporaryDirectory folder;
    write_file_atomically(folder / "load.json", R"({"step": 3, "load": [[9, 1, 1, 1]]})");
    const std::string svg = (folder / "sweep.svg").string();
    const auto json = answer(
        folder.path(), {"plan", "balance", "--load", (folder / "load.json").string(), "--gpus", "2",
                        "--nodes", "1", "--groups", "1", "--sweep", "0,2", "--svg", svg});
    REQUIRE(json["placements"].size() == 3);
    CHECK(json["placements"][0]["gpu_worst"] == doctest::Approx(10 / 6.0));
    CHECK(json["placements"][2]["gpu_worst"] == doctest::Approx(7 / 6.0));
    CHECK(read_file(svg).find("redundant experts") != std::string::npos);
}
