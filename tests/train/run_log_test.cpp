#include "train/run_log.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <fstream>

#include "checkpoint/temporary_directory.h"
#include "core/file_map.h"

using namespace hadal;
using namespace hadal::train;

namespace {

Metrics sample(int64_t step) {
    Metrics m{.step = step,
              .tokens = step * 512,
              .loss = 3.0 / double(step),
              .mtp_loss = 4.0 / double(step),
              .batch = 8,
              .seq_len = 64};
    if (step % 2 == 0) m.validation_loss = 3.5 / double(step);
    return m;
}

int64_t count_lines(const std::filesystem::path& path) {
    const std::string text = read_file(path);
    return std::count(text.begin(), text.end(), '\n');
}

const std::vector<std::vector<int64_t>> kLoad = {{4, 0, 0, 4}, {2, 2, 2, 2}};

}  // namespace

TEST_CASE("metrics: a line holds what cli.md promises, and reads back bit for bit") {
    Metrics m = sample(4);
    m.grad_norm = 0.1 + 0.2;
    const std::string line = metrics_line(m);
    for (const char* name : {"step", "tokens", "loss", "mtp_loss", "balance_loss", "grad_norm",
                             "lr", "batch", "seq_len", "tokens_per_second", "step_seconds",
                             "max_violation", "expert_load_entropy", "skipped", "bytes_peak"}) {
        CAPTURE(name);
        CHECK(line.find("\"" + std::string(name) + "\":") != std::string::npos);
    }
    const auto again = parse_metrics_line(line);
    REQUIRE(again.has_value());
    CHECK(again->grad_norm == m.grad_norm);
    CHECK(again->validation_loss == m.validation_loss);
    CHECK_FALSE(again->bits_per_byte.has_value());
    CHECK_FALSE(parse_metrics_line(line.substr(0, line.size() - 3)).has_value());
    m.loss = NAN;
    REQUIRE(parse_metrics_line(metrics_line(m)).has_value());
    CHECK(std::isnan(parse_metrics_line(metrics_line(m))->loss));
}

TEST_CASE("metrics: violation of the worst layer, entropy of the mean") {
    CHECK(max_violation(kLoad) == 1.0);  // 4 over a mean of 2
    CHECK(expert_load_entropy(kLoad) == doctest::Approx((std::log(2) / std::log(4) + 1) / 2));
    CHECK(max_violation({}) == 0);
    CHECK(expert_load_entropy({}) == 1);
}

TEST_CASE("run log: a resumed run drops the lines of later steps and one that was cut short") {
    const test::TemporaryDirectory folder;
    const auto run = folder / "run";
    {
        RunLog log(run, 0, true);
        for (int64_t step = 1; step <= 10; ++step) log.add(sample(step), kLoad);
    }
    CHECK(count_lines(run / "metrics.jsonl") == 10);
    std::ofstream(run / "metrics.jsonl", std::ios::app) << "{\"step\":11,\"tok";
    {
        RunLog log(run, 7, true);
        CHECK(log.history().size() == 7);
        log.add(sample(8), kLoad);
    }
    CHECK(count_lines(run / "metrics.jsonl") == 8);
    CHECK(read_file(run / "metrics.jsonl").ends_with(metrics_line(sample(8)) + "\n"));
    int64_t num_events = 0;
    for (const auto& entry : std::filesystem::directory_iterator(run)) {
        num_events += entry.path().filename().string().starts_with("events.out.tfevents.") ? 1 : 0;
    }
    CHECK(num_events == 2);
    {
        RunLog log(run, 0, false);
    }
    CHECK(count_lines(run / "metrics.jsonl") == 0);
}

TEST_CASE("run log: pictures hold the curves, and numbers that are none draw nothing") {
    const test::TemporaryDirectory folder;
    RunLog log(folder / "run", 0, false);
    for (int64_t step = 1; step <= 20; ++step) {
        Metrics m = sample(step);
        if (step == 5) m.loss = NAN;
        log.add(m, kLoad);
    }
    log.draw(false);
    const std::string svg = read_file(folder / "run/loss.svg");
    CHECK(svg.starts_with("<svg xmlns"));
    CHECK(svg.ends_with("</svg>\n"));
    for (const char* name :
         {"train, smoothed", "train MTP, smoothed", "validation", "nats per token", "tokens"}) {
        CAPTURE(name);
        CHECK(svg.find(name) != std::string::npos);
    }
    CHECK(svg.find("nan") == std::string::npos);
    CHECK(svg.find("inf") == std::string::npos);
    CHECK(loss_chart_svg(log.history(), true) != svg);
    CHECK(loss_chart_svg({}, true).find("nan") == std::string::npos);
    const std::string map = read_file(folder / "run/expert_load.svg");
    CHECK(map.find("MoE 2") != std::string::npos);
    CHECK(map.find("rgb(150,0,20)") !=
          std::string::npos);  // twice the even share: the end of the scale
    CHECK(map.find("rgb(255,255,255)") != std::string::npos);  // no tokens
}
