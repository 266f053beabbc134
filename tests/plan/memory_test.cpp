#include "plan/memory.h"

#include <doctest/doctest.h>

#include "pipeline/simulate.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

RankMemory middle_rank(const Inputs& inputs) {
    return rank_memories(test::v3(), inputs)[size_t(inputs.layout.pp / 2)];
}

}  // namespace

TEST_CASE("memory: the published layout by hand, middle rank") {
    const RankMemory memory = middle_rank(test::published_run());
    // 2 stages × 4 layers × (187.1 M attention + 44.0 M shared expert + 1.8 M router + 4 experts).
    CHECK(memory.parameters.experts == 8.0 * 4 * 44040192);
    CHECK(memory.parameters.total() == doctest::Approx(3.27e9).epsilon(2e-3));
    CHECK(memory.weights == doctest::Approx(6.55e9).epsilon(2e-3));
    CHECK(memory.gradients == doctest::Approx(13.09e9).epsilon(2e-3));
    // Eight bytes of master weight and moments, dense ones over 256 GPUs, experts over 4.
    const double split = memory.parameters.replicated / 256 + memory.parameters.experts / 4;
    CHECK(memory.master + memory.moments == doctest::Approx(8 * split));
    CHECK(memory.states() == doctest::Approx(22.5e9).epsilon(2e-3));
    CHECK(memory.activations == doctest::Approx(45.6e9).epsilon(2e-3));
    CHECK(fullest_rank(test::v3(), test::published_run()).total() < 80e9);
}

TEST_CASE("memory: activations of an MoE layer, tensor by tensor, as the report keeps them") {
    const Layout layout = test::published_run().layout;
    // Residuals, latents, 12-bit attention output, log-sum-exp, router, FP8 inputs and SwiGLU.
    const double by_hand = 2 * 14336 + (1536 + 576) * 2 + 16384 * 1.5 + 512 + 1024 +
                           8 * (7168 + 224) + (7168 + 224) + 9 * (4096 + 128);
    CHECK(kept_bytes_per_token(test::v3(), layout, true) == by_hand);
}

TEST_CASE("memory: what is not computed again has to be kept, and does not fit") {
    Inputs inputs = test::published_run();
    const double report = fullest_rank(test::v3(), inputs).activations;
    test::set(inputs, "layout.recompute", "none");
    CHECK(fullest_rank(test::v3(), inputs).activations > 2 * report);
    CHECK(fullest_rank(test::v3(), inputs).total() > 80e9);
    test::set(inputs, "layout.recompute", "redispatch");
    CHECK(middle_rank(inputs).activations ==
          doctest::Approx(report * (1 - 59136.0 / 163552)).epsilon(1e-3));
    test::set(inputs, "layout.recompute", "full");
    CHECK(middle_rank(inputs).activations == doctest::Approx(17.0 * 4 * 4096 * 14336));
}

TEST_CASE("memory: uneven routing grows what dispatch brings, and nothing else") {
    Inputs inputs = test::published_run();
    const double even = middle_rank(inputs).activations;
    test::set(inputs, "layout.load_imbalance", "1.5");
    CHECK(middle_rank(inputs).activations - even == doctest::Approx(12.9e9).epsilon(5e-3));
}

TEST_CASE("memory: ZeRO splits one kind of state after the other") {
    Inputs inputs = test::published_run();
    double before = 1e30;
    for (const char* stage : {"0", "1", "2", "3"}) {
        test::set(inputs, "layout.zero", stage);
        const double states = middle_rank(inputs).states();
        CHECK(states < before);
        before = states;
    }
}

TEST_CASE("memory: micro-batches alive are those of the simulated schedule") {
    for (const char* schedule : {"1f1b", "interleaved", "zb-h1", "zb-v", "dualpipe", "dualpipev"}) {
        Layout layout = test::published_run().layout;
        layout.schedule = schedule;
        layout.batch = 128 * 64;
        const pipeline::Schedule actions = pipeline::make_schedule(
            schedule, {.ranks = 16, .micro_batches = 64, .stages_per_rank = 2});
        const pipeline::Timeline timeline = pipeline::simulate(actions, pipeline::Timing());
        for (int rank = 0; rank < 16; ++rank) {
            CAPTURE(schedule);
            CAPTURE(rank);
            CHECK(live_chunks(layout, rank) >= timeline.peak_activations[size_t(rank)]);
        }
        CHECK(live_chunks(layout, 0) == timeline.peak_activations[0]);
    }
    Layout layout = test::published_run().layout;
    layout.batch = 128;  // one micro-batch: no more than there are
    layout.schedule = "1f1b";
    CHECK(live_chunks(layout, 0) == 1);
}

TEST_CASE("memory: every remedy helps or says that it does not, least need first") {
    Inputs inputs = test::published_run();
    test::set(inputs, "layout.recompute", "none");
    test::set(inputs, "layout.precision", "bf16");
    const std::vector<Remedy> found = remedies(test::v3(), inputs);
    REQUIRE(found.size() >= 5);
    for (size_t i = 1; i < found.size(); ++i) CHECK(found[i - 1].bytes <= found[i].bytes);
    CHECK(found.front().bytes < fullest_rank(test::v3(), inputs).total());
    for (const Remedy& remedy : found) {
        CHECK(!remedy.price.empty());
        CHECK(remedy.change.find("pp 64") == std::string::npos);  // more stages than layers
    }
}

}  // namespace hadal::plan
