#include "plan/serving.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

/// A machine whose memory and arithmetic reach their peaks.
Inputs ideal(const std::string& cluster, double weight_bytes) {
    Inputs inputs = test::cluster(cluster);
    inputs.layout.gpus = 1;
    inputs.decode.memory_bandwidth = inputs.decode.attention = 1;
    inputs.decode.weight_bytes = weight_bytes;
    return inputs;
}

double decode_rate(const Inputs& inputs, double batch, double context) {
    Inputs alone = inputs;
    alone.decode.gpus = 1;
    return decode_step(model::preset("v3-16b"), alone, batch, context).tokens_per_s_per_gpu;
}

}  // namespace

TEST_CASE("speculation: tokens of a step are a geometric sum") {
    CHECK(expected_tokens(0, 0.85) == 1);
    CHECK(expected_tokens(1, 0.85) == doctest::Approx(1.85));
    CHECK(expected_tokens(2, 0.85) == doctest::Approx(2.57).epsilon(2e-3));
    CHECK(expected_tokens(3, 0.85) == doctest::Approx(3.19).epsilon(2e-3));
    CHECK(expected_tokens(4, 1) == 5);
}

TEST_CASE("decode: one H100 at its bandwidth, by batch, against an independent table") {
    // 16B model, bf16, 4096 cached tokens, 3.35 TB/s: kernel notes, computed apart from this code.
    const Inputs inputs = ideal("h100", 2);
    const std::pair<double, double> table[] = {
        {1, 666}, {4, 1109}, {16, 1980}, {64, 5484}, {128, 9065}};
    for (const auto& [batch, rate] : table) {
        CAPTURE(batch);
        CHECK(decode_rate(inputs, batch, 4096) == doctest::Approx(rate).epsilon(0.03));
    }
}

TEST_CASE("decode: processors at their bandwidth, by bytes of a weight") {
    // Ideal tokens/s of the 16B model at small context: bandwidth over bytes touched.
    struct Row {
        const char* cluster;
        double bf16, int8;
    };
    for (const Row& row :
         {Row{"xeon-4th", 63, 125}, Row{"epyc-9004", 94, 188}, Row{"epyc-9005", 118, 235},
          Row{"xeon-6980p", 172, 345}, Row{"desktop", 19.6, 39}}) {
        CAPTURE(row.cluster);
        CHECK(decode_rate(ideal(row.cluster, 2), 1, 1) == doctest::Approx(row.bf16).epsilon(0.02));
        CHECK(decode_rate(ideal(row.cluster, 1), 1, 1) == doctest::Approx(row.int8).epsilon(0.02));
    }
}

TEST_CASE("decode: the cache and the weights of an EP144 unit are what they weigh by hand") {
    const DecodePlan plan = plan_decode(test::v3(), test::published_run());
    CHECK(plan.kv_bytes_per_token == 70272);
    CHECK(plan.weight_bytes == doctest::Approx(22.5e9).epsilon(0.02));
    CHECK(plan.kv_tokens == doctest::Approx(700e3).epsilon(0.02));
}

TEST_CASE("decode: larger batches serve more and slower, up to the room for caches") {
    const Inputs inputs = test::published_run();
    double rate = 0, user = 1e9;
    for (const double batch : {1.0, 8.0, 64.0, 128.0}) {
        const DecodeStep step = decode_step(test::v3(), inputs, batch, 4989);
        CHECK(step.tokens_per_s_per_gpu > rate);
        CHECK(step.tokens_per_s_per_user < user);
        rate = step.tokens_per_s_per_gpu;
        user = step.tokens_per_s_per_user;
    }
    Inputs full = inputs;
    full.decode.batch = 500;
    CHECK_THROWS_WITH_AS(plan_decode(test::v3(), full), doctest::Contains("requests fit"), Error);
}

TEST_CASE("decode: the batch found is the largest that keeps the promised speed") {
    Inputs inputs = test::published_run();
    for (const char* speed : {"15", "21", "35"}) {
        CAPTURE(speed);
        test::set(inputs, "decode.tokens_per_s_per_user", speed);
        const DecodePlan plan = plan_decode(test::v3(), inputs);
        const double wanted = inputs.decode.tokens_per_s_per_user;
        const double next = plan.step.batch + 1;
        CHECK(plan.step.tokens_per_s_per_user >= wanted * 0.999);
        const bool room = next <= plan.max_requests;
        if (room) CHECK(decode_step(test::v3(), inputs, next, 4989).tokens_per_s_per_user < wanted);
    }
}

TEST_CASE("decode: one draft helps a lone user, and costs a full unit its network") {
    Inputs inputs = test::published_run();
    const DecodeStep plain = decode_step(test::v3(), inputs, 1, 4989);
    const DecodeStep full = decode_step(test::v3(), inputs, 128, 4989);
    inputs.decode.mtp = 1;
    CHECK(decode_step(test::v3(), inputs, 1, 4989).tokens_per_s_per_user >
          1.5 * plain.tokens_per_s_per_user);
    CHECK(decode_step(test::v3(), inputs, 128, 4989).network > 1.8 * full.network);
}

TEST_CASE("prefill: tensor parallelism of attention costs collectives") {
    Inputs inputs = test::published_run();
    const double alone = plan_prefill(test::v3(), inputs).tokens_per_s_per_gpu;
    apply_preset(inputs, PresetKind::scenario, "report-prefill");
    const PrefillPlan plan = plan_prefill(test::v3(), inputs);
    CHECK(plan.layer.tensor_f > 0);
    CHECK(plan.tokens_per_s_per_gpu < alone);
    CHECK(plan.weight_bytes < 40e9);
}

TEST_CASE("units: slots must be even, with the number of copies that makes them so") {
    Inputs inputs = test::published_run();
    test::set(inputs, "decode.redundant", "0");
    CHECK_THROWS_WITH_AS(check_serving(test::v3(), inputs),
                         doctest::Contains("set decode.redundant to 32"), Error);
    test::set(inputs, "decode.redundant", "32");
    test::set(inputs, "prefill.tp", "5");
    CHECK_THROWS_WITH_AS(check_serving(test::v3(), inputs), doctest::Contains("does not divide"),
                         Error);
    Inputs small = test::published_run();
    test::set(small, "decode.gpus", "1");
    test::set(small, "decode.redundant", "0");
    CHECK_THROWS_WITH_AS(plan_decode(test::v3(), small), doctest::Contains("do not fit"), Error);
}

TEST_CASE("single machine: what does not fit is said, not hidden") {
    Inputs inputs = test::cluster("h100");
    CHECK(plan_single(model::preset("v3-16b"), inputs).fits);
    CHECK(!plan_single(test::v3(), inputs).fits);
    const SinglePlan plan = plan_single(model::preset("v3-16b"), test::cluster("desktop"));
    CHECK(plan.prefill_tokens_per_s > 10 * plan.steps.front().tokens_per_s_per_user);
}

}  // namespace hadal::plan
