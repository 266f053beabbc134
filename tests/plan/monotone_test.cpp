// What a planner must never say: that a worse machine is faster, or that more costs less.
#include <doctest/doctest.h>
#include <string>
#include <vector>

#include "plan/answers.h"
#include "plan/memory.h"
#include "plan/support.h"
#include "plan/train_cost.h"

namespace hadal::plan {

namespace {

struct Series {
    const char* key;
    std::vector<const char*> values;  // from worse to better
};

std::vector<double> step_seconds(const Series& series) {
    std::vector<double> seconds;
    for (const char* value : series.values) {
        Inputs inputs = test::published_run();
        test::set(inputs, series.key, value);
        seconds.push_back(train_cost(test::v3(), inputs).step.total());
    }
    return seconds;
}

/// Of each value of `key`, the figure `figure` of `ask`'s answer.
std::vector<double> figures(Answer (*ask)(const model::ModelConfig&, const Inputs&),
                            const Series& series, const char* figure) {
    std::vector<double> found;
    for (const char* value : series.values) {
        Inputs inputs = test::published_run();
        test::set(inputs, series.key, value);
        const Answer answer = ask(test::v3(), inputs);
        REQUIRE(answer.find(figure) != nullptr);
        found.push_back(answer.find(figure)->value);
    }
    return found;
}

void check_falls(const std::vector<double>& figures) {
    for (size_t i = 1; i < figures.size(); ++i) CHECK(figures[i] <= figures[i - 1]);
    CHECK(figures.back() < figures.front());
}

}  // namespace

TEST_CASE("a better machine never takes longer for a step") {
    const std::vector<Series> all = {
        {"network.scale_out_gb_per_s", {"6.25", "12.5", "25", "50", "100", "400"}},
        {"network.scale_up_gb_per_s", {"20", "80", "160", "900"}},
        {"gpu.fp8_tflops", {"500", "1000", "1978.9", "4500"}},
        {"gpu.bf16_tflops", {"300", "600", "989.4", "2250"}},
        {"gpu.memory_gb_per_s", {"1000", "2000", "3350", "8000"}},
        {"efficiency.dense_gemm", {"0.2", "0.4543", "0.7", "1"}},
        {"efficiency.grouped_gemm", {"0.2", "0.5089", "1"}},
        {"efficiency.all_to_all_sync_ms", {"10", "5", "2.13", "0"}},
        {"production.network_slowdown", {"3", "1.5", "1.1867", "1"}},
        {"layout.load_imbalance", {"3", "2", "1.2", "1"}},
    };
    for (const Series& series : all) {
        CAPTURE(series.key);
        check_falls(step_seconds(series));
    }
}

TEST_CASE(
    "the network halved: the report's cluster slows by the communication it no longer hides") {
    Inputs inputs = test::published_run();
    const TrainCost before = train_cost(test::v3(), inputs);
    test::set(inputs, "network.scale_out_gb_per_s", "25");
    const TrainCost after = train_cost(test::v3(), inputs);
    // Computation stays; dispatch and combine double, barriers do not.
    CHECK(after.layer.compute_f() == before.layer.compute_f());
    CHECK(after.layer.dispatch_f == doctest::Approx(2 * before.layer.dispatch_f));
    CHECK(after.layer.sync == before.layer.sync);
    CHECK(after.step.total() / before.step.total() < 2);
    CHECK(after.step.total() / before.step.total() > 1.2);
}

TEST_CASE("more of what takes memory never takes less of it") {
    const std::vector<Series> all = {
        {"layout.zero", {"1", "2", "3"}},
        {"layout.moment_bytes", {"8", "4", "2"}},
        {"layout.gradient_bytes", {"4", "2"}},
        {"layout.recompute", {"none", "report", "redispatch", "full"}},
        {"layout.pp", {"8", "16", "32"}},
    };
    for (const Series& series : all) {
        CAPTURE(series.key);
        check_falls(figures(answer_memory, series, "fullest_rank_bytes"));
    }
}

TEST_CASE("fewer failures and quicker snapshots never lower goodput") {
    for (const Series& series : std::vector<Series>{
             {"failures.gpu_hours_between", {"200000", "50677", "10000"}},
             {"failures.snapshot_s", {"1", "30", "300"}},
             {"failures.restart_s", {"60", "600", "6000"}},
         }) {
        CAPTURE(series.key);
        check_falls(figures(answer_failures, series, "goodput"));
    }
}

}  // namespace hadal::plan
