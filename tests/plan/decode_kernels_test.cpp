// The rooflines of a decoding step, kernel by kernel, against figures computed apart from this code
// (kernel notes: 671B model on H800, 85 % of the memory's bandwidth, MLA at 600 TFLOP/s).
#include <doctest/doctest.h>
#include <algorithm>

#include "core/error.h"
#include "plan/serving.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

struct Unit {
    int64_t gpus, redundant;
    double batch, context;
    double weights_ms, cache_ms, attention_ms, exchange_ms;
};
// Weights are counted once here; a step in two micro-batches reads them twice.
constexpr Unit kUnits[] = {{144, 32, 128, 4989, 7.9, 15.8, 18.1, 33.1},
                           {320, 64, 64, 4096, 7.0, 6.5, 7.4, 16.5}};

Inputs unit_inputs(const Unit& unit) {
    Inputs inputs = test::published_run();
    inputs.decode.gpus = unit.gpus;
    inputs.decode.redundant = unit.redundant;
    inputs.decode.attention = 600 / 989.4;
    inputs.decode.all_to_all = 39.0 / 50;  // latency included, as the notes have it
    inputs.decode.all_to_all_us = 0;
    return inputs;
}

const KernelTime& kernel(const DecodeStep& step, const std::string& name) {
    const auto found = std::ranges::find(step.kernels, name, &KernelTime::name);
    REQUIRE(found != step.kernels.end());
    return *found;
}

double times_of(const DecodeStep& step, double KernelTime::* member, bool attention) {
    double sum = 0;
    for (const KernelTime& one : step.kernels)
        sum += (one.name == "latent attention") == attention ? one.*member : 0;
    return sum;
}

}  // namespace

TEST_CASE("decode: weights, cache, attention and exchange of the published units") {
    for (const Unit& unit : kUnits) {
        CAPTURE(unit.gpus);
        const DecodeStep step =
            decode_step(test::v3(), unit_inputs(unit), unit.batch, unit.context);
        const double weights = times_of(step, &KernelTime::memory_seconds, false) / 2;
        CHECK(1e3 * weights == doctest::Approx(unit.weights_ms).epsilon(0.07));
        const KernelTime& attention = kernel(step, "latent attention");
        CHECK(1e3 * attention.memory_seconds == doctest::Approx(unit.cache_ms).epsilon(0.01));
        CHECK(1e3 * attention.compute_seconds == doctest::Approx(unit.attention_ms).epsilon(0.01));
        CHECK(1e3 * step.network == doctest::Approx(unit.exchange_ms).epsilon(0.01));
    }
}

TEST_CASE("decode: latent attention costs what its shapes say") {
    const DecodeStep step = decode_step(test::v3(), test::published_run(), 64, 1000);
    const KernelTime& attention = kernel(step, "latent attention");
    // 61 layers of a 576-wide latent in bf16; 128 heads of 576 + 512.
    CHECK(attention.bytes == doctest::Approx(64 * 1000 * 70272.0));
    CHECK(attention.flops == doctest::Approx(64 * 1000 * 61 * 2.0 * 128 * (576 + 512)));
}

TEST_CASE("decode: experts are read as far as tokens choose them") {
    // One request on one machine: eight experts of 256; many: all of them.
    Inputs alone = test::published_run();
    alone.decode.gpus = 1;
    const double expert = 58 * 3.0 * 7168 * 2048;
    const auto read = [&](double batch) {
        return kernel(decode_step(test::v3(), alone, batch, 1), "routed experts").bytes / expert;
    };
    CHECK(read(1) == doctest::Approx(8));
    // Distinct experts hit, from the notes' table: 57 at 8, 163 at 32, 222 at 64, 252 at 128.
    CHECK(read(8) == doctest::Approx(57).epsilon(0.01));
    CHECK(read(32) == doctest::Approx(163).epsilon(0.01));
    CHECK(read(64) == doctest::Approx(222).epsilon(0.01));
    CHECK(read(128) == doctest::Approx(252).epsilon(0.01));
    CHECK(read(4096) == doctest::Approx(256));
}

TEST_CASE("decode: a machine alone exchanges nothing and overlaps nothing") {
    Inputs alone = test::published_run();
    alone.decode.gpus = 1;
    const DecodeStep step = decode_step(test::v3(), alone, 4, 1024);
    CHECK(step.network == 0);
    CHECK(step.step == step.compute);
    double sum = 0;
    for (const KernelTime& one : step.kernels)
        sum += std::max(one.memory_seconds, one.compute_seconds);
    CHECK(step.compute == doctest::Approx(sum));
}

TEST_CASE("decode: a unit inside one domain exchanges at the domain's speed") {
    Inputs inputs = test::published_run();
    inputs.decode.gpus = 64;
    inputs.decode.redundant = 0;
    inputs.decode.all_to_all_us = 0;
    const double between_nodes = decode_step(test::v3(), inputs, 64, 4096).network;
    inputs.network.gpus_per_node = 64;
    inputs.network.scale_up_gb_per_s = 10 * inputs.network.scale_out_gb_per_s;
    CHECK(decode_step(test::v3(), inputs, 64, 4096).network < between_nodes / 4);
}

TEST_CASE("decode: uneven demand slows experts and exchange, copies cost memory") {
    Inputs inputs = test::published_run();
    const DecodeStep even = decode_step(test::v3(), inputs, 128, 4989);
    inputs.decode.load_imbalance = 1.4;
    const DecodeStep uneven = decode_step(test::v3(), inputs, 128, 4989);
    CHECK(uneven.network > 1.3 * even.network);
    CHECK(kernel(uneven, "routed experts").flops ==
          doctest::Approx(1.4 * kernel(even, "routed experts").flops));
    const auto weights = [&](int64_t copies) {
        return unit_weight_bytes(test::v3(), inputs, 144, 1, copies);
    };
    CHECK(weights(176) - weights(32) == doctest::Approx(58.0 * 44040192));  // one slot more a GPU
}

TEST_CASE("prefill: capacity, load, cache hits and waiting, by hand") {
    Inputs inputs = test::published_run();
    inputs.prefill.load = 0.5;
    inputs.prefill.cache_hits = 0.5;
    const PrefillPlan plan = plan_prefill(test::v3(), inputs);
    CHECK(plan.compute == doctest::Approx(2 * 61 * plan.layer.compute_f()));
    CHECK(plan.network == doctest::Approx(2 * 58 * plan.layer.network_f()));
    CHECK(plan.batch_seconds > std::max(plan.compute, plan.network));
    CHECK(plan.tokens_per_s_per_gpu == doctest::Approx(16384 / plan.batch_seconds));
    CHECK(plan.loaded_computed == doctest::Approx(plan.tokens_per_s_per_gpu / 2));
    CHECK(plan.loaded_with_hits == doctest::Approx(plan.tokens_per_s_per_gpu));
    // M/D/1 at half load: the mean wait is half a service time.
    CHECK(plan.ttft == doctest::Approx(1.5 * plan.batch_seconds));
}

TEST_CASE("prefill: experts of a unit weigh 40 GB with 32 copies on 32 GPUs") {
    CHECK(unit_weight_bytes(test::v3(), test::published_run(), 32, 1, 32) ==
          doctest::Approx(40.4e9).epsilon(0.01));
}

TEST_CASE("single machine: prefill reads the weights at least once") {
    Inputs inputs = test::cluster("epyc-9004");
    inputs.prefill.prompt = 1;
    const SinglePlan one = plan_single(model::preset("v3-16b"), inputs);
    const double reading = one.weight_bytes / (461e9 * inputs.decode.memory_bandwidth);
    CHECK(one.ttft == doctest::Approx(reading));
    inputs.prefill.prompt = 4096;
    CHECK(plan_single(model::preset("v3-16b"), inputs).ttft > one.ttft);
}

}  // namespace hadal::plan
