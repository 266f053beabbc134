// The worked example of docs/planning.md, recomputed from the page's formulas in plain arithmetic.
#include <doctest/doctest.h>
#include <algorithm>

#include "plan/placement.h"
#include "plan/support.h"
#include "plan/train_cost.h"

namespace hadal::plan {

namespace {

// The 671B model and the H800, as the page's table of symbols has them.
constexpr double d = 7168, heads = 128, rank_q = 1536, rank_kv = 512, nope = 128, rope = 64,
                 value = 128, expert_width = 2048, chosen = 8, experts = 256;
constexpr double kTokens = 4096, kFp8 = 1978.9e12, kBf16 = 989.4e12, kMemory = 3.35e12;
constexpr double kAttention = d * rank_q + rank_q * heads * (nope + rope) + d * (rank_kv + rope) +
                              rank_kv * heads * (nope + value) + heads * value * d;
constexpr double kUp = rank_q * heads * (nope + rope) + rank_kv * heads * (nope + value);
constexpr double kExpert = 3 * d * expert_width;

double products(double weights, double share) {
    return 2 * kTokens * weights / (kFp8 * share);
}
double elementwise(double width, double bytes) {
    return kTokens * width * bytes / (kMemory * 0.5045);
}

}  // namespace

TEST_CASE("by hand: one layer, part by part") {
    const Inputs inputs = test::published_run();
    const LayerTimes t = layer_times(test::v3(), inputs, kTokens);
    const double core = kTokens * heads * (nope + rope + value) * 4096 / kBf16;
    const double rows = 2 * d + heads * (2 * (nope + rope) + 2 * value);
    CHECK(t.attention_f ==
          doctest::Approx(products(kAttention, 0.4543) + core / 0.5609 + elementwise(rows, 7.10)));
    CHECK(t.attention_b == doctest::Approx(products(kAttention + kUp, 0.4543) +
                                           2.6 * core / 0.4245 + elementwise(rows, 13.26)));
    CHECK(t.attention_w == doctest::Approx(products(kAttention, 0.3242)));
    const double mlp_rows = (chosen + 1) * (2 * d + 3 * expert_width);
    CHECK(t.experts_f ==
          doctest::Approx(products(kExpert, 0.4543) + products(chosen * kExpert, 0.5089) +
                          elementwise(mlp_rows, 2.983)));
    CHECK(t.experts_w == doctest::Approx(products((chosen + 1) * kExpert, 0.3242)));
    CHECK(t.dispatch_f == doctest::Approx(kTokens * 4 * 7392 / 50e9 / 0.6251));
    CHECK(t.combine_f == doctest::Approx(kTokens * 4 * 14336 / 50e9 / 0.7601));
    CHECK(t.send == doctest::Approx(kTokens * 14336 / 50e9 / 0.8));
}

TEST_CASE("by hand: the chunk's four times") {
    const TrainCost cost = train_cost(test::v3(), test::published_run());
    const LayerTimes& t = cost.layer;
    const double layers = cost.stage_layers;
    const double f = layers * t.compute_f() * 1.0587, b = layers * t.compute_b() * 1.0587;
    const double w = layers * t.compute_w() * 1.0587;
    const double network = layers * t.network_f() * 1.1867 + t.send;
    CHECK(cost.chunk.f == doctest::Approx(f + 0.148 * network));
    CHECK(cost.chunk.b == doctest::Approx(b + 0.148 * network));
    CHECK(cost.chunk.w == doctest::Approx(w));
    CHECK(cost.chunk.pair == doctest::Approx(std::max(f + b + w, 2 * network) +
                                             0.0227 * std::min(f + b + w, 2 * network)));
}

TEST_CASE("by hand: the step is the sum of its counted chunks") {
    const TrainCost cost = train_cost(test::v3(), test::published_run());
    const ChunkTimes& c = cost.chunk;
    const StepTimes& s = cost.step;
    CHECK(s.paired == doctest::Approx(97 * c.pair));
    CHECK(s.forward == doctest::Approx(23 * c.f));
    CHECK(s.backward == doctest::Approx(23 * c.b + 8 * c.w));
    CHECK(s.weight == doctest::Approx(15 * c.w));
    CHECK(s.imbalance == doctest::Approx(0.0792 * s.paired));
    CHECK(s.total() == doctest::Approx(s.paired + s.forward + s.backward + s.weight +
                                       s.schedule_bubble + s.imbalance + s.optimizer));
}

TEST_CASE("by hand: the optimizer's bytes over both networks") {
    const Inputs inputs = test::published_run();
    // Two stages of four MoE layers: attention, norms, shared expert, router; four experts each.
    const double replicated =
        8 * (kAttention + rank_q + rank_kv + 2 * d + kExpert + experts * d + experts);
    const double routed = 8 * 4 * kExpert;
    const double node = 6 * replicated * 7 / 8 / (160e9 * 0.8);
    const double between = (6 * replicated / 8 * 31 / 32 + 6 * routed * 3 / 4) / (50e9 * 0.8);
    const double split = replicated / 256 + routed / 4;
    const double memory = (8 * (replicated + routed) + 22 * split) / (kMemory * 0.5045);
    CHECK(optimizer_seconds(test::v3(), inputs) == doctest::Approx(node + between + memory));
}

TEST_CASE("by hand: hours, dollars, energy and carbon follow from the step") {
    const Inputs inputs = test::published_run();
    const TrainCost cost = train_cost(test::v3(), inputs);
    const double rate = 15360.0 * 4096 / cost.step.total() / 2048;
    CHECK(cost.tokens_per_s_per_gpu == doctest::Approx(rate));
    CHECK(cost.gpu_hours_per_trillion == doctest::Approx(1e12 / rate / 3600));
    CHECK(cost.mfu_causal == doctest::Approx(rate * cost.causal_flops / kBf16));
    CHECK(cost.mfu_format == doctest::Approx(rate * cost.causal_flops / kFp8));
    CHECK(cost.pretraining_gpu_hours == doctest::Approx(14.8 * cost.gpu_hours_per_trillion));
    CHECK(cost.days == doctest::Approx(cost.pretraining_gpu_hours / 2048 / 24));
    const double hours = cost.pretraining_gpu_hours + cost.context_gpu_hours + 5000;
    CHECK(cost.gpu_hours == doctest::Approx(hours));
    CHECK(cost.dollars == doctest::Approx(2 * hours));
    CHECK(cost.gpu_kwh == doctest::Approx(0.7 * hours));
    CHECK(cost.facility_kwh == doctest::Approx(1.275 * 0.8 * 1.2 * hours));
    CHECK(cost.carbon_kg == doctest::Approx(0.4 * cost.facility_kwh));
    CHECK(cost.gpu_kwh == doctest::Approx(1.95e6).epsilon(0.01));      // 1.95 GWh
    CHECK(cost.facility_kwh == doctest::Approx(3.4e6).epsilon(0.01));  // 3.4 GWh
}

TEST_CASE("by hand: context extension at a quarter of the peak") {
    // 62.9 B tokens at 479 GFLOP and as many at 1228, at 25.35 % of 989.4 TFLOP/s.
    const double hours = 62.9e9 * (479e9 + 1228e9) / (0.2535 * kBf16) / 3600;
    CHECK(train_cost(test::v3(), test::published_run()).context_gpu_hours ==
          doctest::Approx(hours).epsilon(2e-3));
}

TEST_CASE("by hand: overlap of two streams") {
    CHECK(overlapped(31.6, 28.6, 0.0227) == doctest::Approx(32.25).epsilon(1e-3));
    CHECK(overlapped(1, 5, 0) == 5);
    CHECK(overlapped(3, 3, 1) == 6);
}

}  // namespace hadal::plan
