#include "train/metrics.h"

#include <doctest/doctest.h>

#include <cmath>

using namespace hadal::train;

TEST_CASE("metrics: the worst expert's surplus, layer by layer") {
    const std::vector<std::vector<int64_t>> loads = {{5, 5, 5, 5}, {0, 0, 0, 8}, {1, 3, 2, 2}};
    const auto layers = layer_max_violation(loads);
    REQUIRE(layers.size() == 3);
    CHECK(layers[0] == 0);
    CHECK(layers[1] == doctest::Approx(3));
    CHECK(layers[2] == doctest::Approx(0.5));
    CHECK(max_violation(loads) == doctest::Approx(3));
    CHECK(max_violation({}) == 0);
}

TEST_CASE("metrics: entropy is 1 for even loads, 0 for one expert, and a mean over layers") {
    CHECK(expert_load_entropy({{4, 4, 4, 4}}) == doctest::Approx(1));
    CHECK(expert_load_entropy({{0, 9, 0}}) == doctest::Approx(0));
    CHECK(expert_load_entropy({{1, 1, 0, 0}}) == doctest::Approx(0.5));
    CHECK(expert_load_entropy({{4, 4}, {8, 0}}) == doctest::Approx(0.5));
    CHECK(expert_load_entropy({}) == 1);
}

TEST_CASE("metrics: a line is read back as it was written, without what was not measured") {
    Metrics metrics{.step = 12,
                    .tokens = 4096,
                    .loss = 2.3125,
                    .grad_norm = 0.75,
                    .learning_rate = 4.2e-4,
                    .batch = 8,
                    .seq_len = 512,
                    .max_violation = 0.25,
                    .layer_max_violation = {0.25, 0.125},
                    .dead_experts = 1,
                    .skipped = 2};
    const auto plain = parse_metrics_line(metrics_line(metrics));
    REQUIRE(plain);
    CHECK(plain->step == 12);
    CHECK(plain->tokens == 4096);
    CHECK(plain->loss == 2.3125);
    CHECK(plain->learning_rate == 4.2e-4);
    CHECK(plain->layer_max_violation == metrics.layer_max_violation);
    CHECK(plain->dead_experts == 1);
    CHECK(plain->skipped == 2);
    CHECK(!plain->mtp_loss);
    CHECK(!plain->validation_loss);
    CHECK(metrics_line(metrics).find('\n') == std::string::npos);

    metrics.mtp_loss = 3.5;
    metrics.validation_loss = 2.25;
    metrics.bits_per_byte = 1.125;
    const auto full = parse_metrics_line(metrics_line(metrics));
    REQUIRE(full);
    CHECK(full->mtp_loss == 3.5);
    CHECK(full->validation_loss == 2.25);
    CHECK(full->bits_per_byte == 1.125);
}

TEST_CASE("metrics: a line that a kill cut anywhere is no line") {
    const std::string line = metrics_line({.step = 3, .loss = 1.5});
    for (size_t length = 0; length + 1 < line.size(); ++length) {
        CAPTURE(length);
        CHECK(!parse_metrics_line(line.substr(0, length)));
    }
}
