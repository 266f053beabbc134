#include "plan/train_cost.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "pipeline/simulate.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

TrainCost cost_with(const std::string& key, const std::string& value) {
    Inputs inputs = test::published_run();
    test::set(inputs, key, value);
    return train_cost(test::v3(), inputs);
}

/// All nodes that `draws` distinct experts touch, averaged over every choice.
double boxes_by_enumeration(int items, int draws, int boxes) {
    const int size = items / boxes;
    double sum = 0, choices = 0;
    for (int mask = 0; mask < (1 << items); ++mask) {
        if (__builtin_popcount(unsigned(mask)) != draws) continue;
        ++choices;
        for (int box = 0; box < boxes; ++box)
            sum += (mask >> (box * size) & ((1 << size) - 1)) != 0;
    }
    return sum / choices;
}

}  // namespace

TEST_CASE("dispatch: mean of the boxes hit is that of an enumeration") {
    for (const auto [items, draws, boxes] :
         {std::array{12, 3, 4}, {12, 8, 3}, {8, 4, 8}, {6, 1, 2}}) {
        CAPTURE(items);
        CHECK(boxes_hit(items, draws, boxes) ==
              doctest::Approx(boxes_by_enumeration(items, draws, boxes)));
    }
    CHECK(boxes_hit(256, 8, 8) == doctest::Approx(5.29).epsilon(1e-3));
}

TEST_CASE("dispatch: a token of the 671B model goes to four nodes and costs what its rows weigh") {
    Inputs inputs = test::published_run();
    const AllToAll a = all_to_all(test::v3(), inputs, 64);
    CHECK(a.nodes == 4);
    CHECK(a.scale_out_dispatch == 4 * (7168 + 56 * 4));
    CHECK(a.scale_out_combine == 4 * 14336);
    inputs.layout.combine_precision = "fp8";
    CHECK(all_to_all(test::v3(), inputs, 64).scale_out_combine == 4 * 7392);
    // Inside one node nothing leaves it; alone nothing moves.
    CHECK(all_to_all(test::v3(), inputs, 8).scale_out_dispatch == 0);
    CHECK(all_to_all(test::v3(), inputs, 8).scale_up_dispatch > 0);
    CHECK(all_to_all(test::v3(), inputs, 1).scale_up_dispatch == 0);
    // Without groups a token goes wherever its experts are.
    CHECK(all_to_all(model::preset("kimi-k2"), inputs, 64).nodes ==
          doctest::Approx(boxes_hit(384, 8, 8)));
}

TEST_CASE("layer: times of the quiet cluster are the trace's, part by part") {
    const Inputs inputs = test::published_run();
    const LayerTimes t = layer_times(test::v3(), inputs, micro_batch_tokens(inputs.layout));
    // profile-data, train.json: milliseconds a layer.
    CHECK(1e3 * t.attention_f == doctest::Approx(4.6).epsilon(0.01));
    CHECK(1e3 * t.experts_f == doctest::Approx(4.6).epsilon(0.01));
    CHECK(1e3 * t.experts_b == doctest::Approx(5.4).epsilon(0.01));
    CHECK(1e3 * t.experts_w == doctest::Approx(5.05).epsilon(0.01));
    CHECK(1e3 * t.attention_b == doctest::Approx(9.55).epsilon(0.01));
    CHECK(1e3 * t.attention_w == doctest::Approx(2.4).epsilon(0.01));
    CHECK(1e3 * (t.dispatch_f + t.combine_b) == doctest::Approx(7.75).epsilon(0.01));
    CHECK(1e3 * (t.combine_f + t.dispatch_b) == doctest::Approx(12.36).epsilon(0.01));
    CHECK(1e3 * (t.network_f() + t.network_b()) == doctest::Approx(28.6).epsilon(0.01));
}

TEST_CASE("step: DualPipe's counts are those of its step table") {
    const StepTimes step = train_cost(test::v3(), test::published_run()).step;
    CHECK(step.micro_batches == 120);
    CHECK(step.pairs == 97);
    CHECK(step.singles == 23);
    CHECK(step.deferred == 15);
}

TEST_CASE(
    "step: bubbles are those of the schedules' formulas, or shorter by DualPipe's first pair") {
    for (const char* schedule : {"1f1b", "interleaved", "zb-h1", "dualpipe", "dualpipev"}) {
        CAPTURE(schedule);
        Inputs inputs = test::published_run();
        inputs.layout.schedule = schedule;
        inputs.layout.batch = 128 * 16 * 8;
        const TrainCost cost = train_cost(test::v3(), inputs);
        const ChunkTimes& c = cost.chunk;
        const pipeline::StageTimes times{.forward = c.f,
                                         .backward = c.full_b(),
                                         .weight = c.w,
                                         .overlapped = inputs.layout.bidirectional() ? c.pair : 0};
        const double formula = pipeline::find_schedule(schedule).bubble(16, times);
        if (inputs.layout.bidirectional()) {
            CHECK(cost.step.schedule_bubble <= formula);
            CHECK(cost.step.schedule_bubble > 0.85 * formula);
        } else {
            CHECK(cost.step.schedule_bubble == doctest::Approx(formula));
        }
    }
}

TEST_CASE("step: many micro-batches cost what their number says, simulated or not") {
    for (const char* schedule : {"1f1b", "interleaved", "zb-h1", "dualpipe", "dualpipev"}) {
        CAPTURE(schedule);
        Inputs inputs = test::published_run();
        inputs.layout.schedule = schedule;
        const auto step = [&](int64_t micro_batches) {
            inputs.layout.batch = 128 * micro_batches;
            return train_cost(test::v3(), inputs).step;
        };
        // 16 rounds of 16 are simulated in full, 40 only in part.
        const StepTimes few = step(256), half = step(240), many = step(640);
        const auto work = [](const StepTimes& s) {
            return s.forward + s.backward + s.weight + s.paired;
        };
        CHECK(many.schedule_bubble == doctest::Approx(few.schedule_bubble));
        const double per_micro_batch = (work(few) - work(half)) / 16;
        CHECK(work(many) == doctest::Approx(work(few) + 384 * per_micro_batch));
    }
}

TEST_CASE("step: a rank runs every micro-batch once forward and once backward") {
    Inputs inputs = test::published_run();
    for (const char* schedule : {"1f1b", "zb-h1", "dualpipe", "dualpipev"}) {
        CAPTURE(schedule);
        inputs.layout.schedule = schedule;
        const TrainCost cost = train_cost(test::v3(), inputs);
        const double folds = inputs.layout.schedule == "dualpipev" ? 2 : 1;
        CHECK(cost.step.pairs + cost.step.singles == 120 * folds);
        // Work without communication: the same whatever the order.
        const double busy =
            cost.step.forward + cost.step.backward + cost.step.weight + cost.step.paired;
        CHECK(busy >
              120 * cost.stage_layers * folds / double(inputs.layout.stages() / 16) *
                  (cost.layer.compute_f() + cost.layer.compute_b() + cost.layer.compute_w()) /
                  folds);
    }
}

TEST_CASE("optimizer: predicted from bytes within 3 % of the published 0.29 s") {
    CHECK(optimizer_seconds(test::v3(), test::published_run()) ==
          doctest::Approx(0.29).epsilon(0.03));
}

TEST_CASE("what-if: changes move the step the way they must") {
    const double base = train_cost(test::v3(), test::published_run()).step.total();
    CHECK(cost_with("network.scale_out_gb_per_s", "25").step.total() > 1.2 * base);
    CHECK(cost_with("network.scale_out_gb_per_s", "100").step.total() < base);
    CHECK(cost_with("gpu.fp8_tflops", "4000").step.total() < base);
    CHECK(cost_with("layout.combine_precision", "fp8").step.total() < base);
    CHECK(cost_with("layout.mtp", "0").step.total() < base);
    CHECK(cost_with("layout.mtp", "4").step.total() > base);
    CHECK(cost_with("layout.load_imbalance", "1.5").step.total() > base);
    CHECK(cost_with("layout.schedule", "1f1b").step.total() > 1.5 * base);
    // A smaller step of each pipeline: a larger share of bubble.
    CHECK(cost_with("layout.gpus", "4096").mfu_causal < 0.375);
}

TEST_CASE("precision: a type that the chip lacks is refused") {
    Inputs inputs = test::published_run();
    inputs.layout.precision = "nvfp4";
    CHECK_THROWS_WITH_AS(train_cost(test::v3(), inputs), doctest::Contains("no such arithmetic"),
                         Error);
    Inputs ascend = test::cluster("ascend-910c");
    CHECK(matmul_peak(ascend) == 752e12);
    ascend.layout.precision = "fp8";
    CHECK_THROWS_WITH_AS(matmul_peak(ascend), doctest::Contains("try bf16"), Error);
}

TEST_CASE("layouts: tensor parallelism halves a rank's work and pays in collectives") {
    Inputs inputs = test::published_run();
    inputs.layout.tp = 2;
    const LayerTimes two = layer_times(test::v3(), inputs, micro_batch_tokens(inputs.layout));
    inputs.layout.tp = 1;
    const LayerTimes one = layer_times(test::v3(), inputs, micro_batch_tokens(inputs.layout));
    CHECK(two.attention_f == doctest::Approx(one.attention_f / 2));
    CHECK(one.tensor_f == 0);
    CHECK(two.tensor_f > 0);
}

}  // namespace hadal::plan
