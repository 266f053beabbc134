#include "plan/failures.h"

#include <doctest/doctest.h>
#include <cmath>

namespace hadal::plan {

namespace {

FailureModel model_of(int64_t gpus, double snapshot) {
    Failures failures;
    failures.snapshot_s = snapshot;
    return failure_model(failures, gpus);
}

}  // namespace

TEST_CASE("failures: Llama 3's rate gives 16384 GPUs a failure every three hours") {
    CHECK(model_of(16384, 5).mean_seconds_between / 3600 == doctest::Approx(3.09).epsilon(2e-3));
}

TEST_CASE("failures: intervals and waste of a table that was computed by hand") {
    struct Row {
        int64_t gpus;
        double snapshot, minutes, waste;
    };
    for (const Row& row :
         {Row{256, 5, 44, 0.005}, Row{256, 120, 218, 0.019}, Row{2048, 5, 15.7, 0.017},
          Row{2048, 30, 38.5, 0.033}, Row{2048, 120, 77, 0.059}, Row{8192, 30, 19, 0.079},
          Row{16384, 5, 5.6, 0.084}, Row{16384, 120, 27, 0.20}, Row{32768, 30, 9.6, 0.21},
          Row{100000, 5, 2.3, 0.40}}) {
        CAPTURE(row.gpus);
        CAPTURE(row.snapshot);
        const FailureModel model = model_of(row.gpus, row.snapshot);
        CHECK(young_interval(model) / 60 == doctest::Approx(row.minutes).epsilon(0.02));
        CHECK(std::abs(first_order_waste(model, young_interval(model)) - row.waste) < 0.008);
    }
}

TEST_CASE("failures: Daly's interval is near the best one that a search finds") {
    for (const int64_t gpus : {2048, 16384, 100000}) {
        CAPTURE(gpus);
        const FailureModel model = model_of(gpus, 30);
        double best = 0;
        for (double interval = 10; interval < 20000; interval *= 1.01)
            best = std::max(best, goodput(model, interval));
        CHECK(goodput(model, daly_interval(model)) >= 0.9995 * best);
        CHECK(goodput(model, 10 * daly_interval(model)) < best);
        CHECK(goodput(model, daly_interval(model) / 10) < best);
    }
}

TEST_CASE("failures: simulation and closed form agree within the confidence interval") {
    for (const int64_t gpus : {2048, 16384, 100000}) {
        for (const uint64_t seed : {1u, 2u, 3u, 4u}) {
            CAPTURE(gpus);
            CAPTURE(seed);
            const FailureModel model = model_of(gpus, 5);
            const double interval = daly_interval(model);
            const SimulatedGoodput simulated = simulate_goodput(model, interval, 20000, seed);
            CHECK(std::abs(simulated.mean - goodput(model, interval)) <= simulated.half_width);
            CHECK(simulated.half_width < 0.005);
        }
    }
}

TEST_CASE("failures: a simulation narrows with more trials and repeats with its seed") {
    const FailureModel model = model_of(16384, 30);
    const SimulatedGoodput few = simulate_goodput(model, 600, 1000, 7);
    CHECK(simulate_goodput(model, 600, 16000, 7).half_width < few.half_width / 3);
    CHECK(simulate_goodput(model, 600, 1000, 7).mean == few.mean);
    CHECK(simulate_goodput(model, 600, 1000, 8).mean != few.mean);
}

TEST_CASE("failures: snapshots that take longer than failures leave almost nothing") {
    const FailureModel model{.mean_seconds_between = 60, .snapshot = 600, .restart = 60};
    CHECK(daly_interval(model) == 60);
    CHECK(goodput(model, daly_interval(model)) < 1e-4);
    CHECK(first_order_waste(model, 60) == 1);
}

}  // namespace hadal::plan
