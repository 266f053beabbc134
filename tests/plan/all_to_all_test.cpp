#include "plan/all_to_all.h"

#include <doctest/doctest.h>
#include <algorithm>
#include <bit>
#include <set>

#include "core/error.h"
#include "core/random.h"
#include "plan/support.h"

namespace hadal::plan {

namespace {

/// Mean number of boxes over all ways to draw `draws` of `items`, counted one by one.
double boxes_by_enumeration(unsigned items, unsigned draws, unsigned boxes) {
    double sum = 0, ways = 0;
    const unsigned per_box = items / boxes;
    for (unsigned set = 0; set < 1u << items; ++set) {
        if (unsigned(std::popcount(set)) != draws) continue;
        ++ways;
        for (unsigned box = 0; box < boxes; ++box) {
            const unsigned mask = ((1u << per_box) - 1) << (box * per_box);
            sum += (set & mask) != 0 ? 1 : 0;
        }
    }
    return sum / ways;
}

/// Distinct GPUs of a token that draws `k` of `experts` at random, mean of many tokens.
double gpus_by_sampling(int64_t experts, int64_t k, int64_t gpus) {
    RandomSequence random(7);
    constexpr int kTokens = 20000;
    int64_t hit = 0;
    for (int token = 0; token < kTokens; ++token) {
        std::set<int64_t> chosen, where;
        while (int64_t(chosen.size()) < k) chosen.insert(int64_t(random.below(uint64_t(experts))));
        for (const int64_t expert : chosen) where.insert(expert * gpus / experts);
        hit += int64_t(where.size());
    }
    return double(hit) / kTokens;
}

}  // namespace

TEST_CASE("boxes hit: as counting every draw says") {
    for (const unsigned items : {4u, 6u, 12u}) {
        for (unsigned draws = 1; draws <= items; ++draws) {
            for (const unsigned boxes : {1u, 2u, items / 2, items}) {
                CAPTURE(items);
                CAPTURE(draws);
                CAPTURE(boxes);
                CHECK(boxes_hit(items, draws, boxes) ==
                      doctest::Approx(boxes_by_enumeration(items, draws, boxes)).epsilon(1e-12));
            }
        }
    }
}

TEST_CASE("boxes hit: eight of 256 experts on 64 GPUs, as sampled tokens do") {
    // The sample's standard error is below 0.005 GPUs.
    CHECK(boxes_hit(256, 8, 64) == doctest::Approx(gpus_by_sampling(256, 8, 64)).epsilon(0.005));
}

TEST_CASE("all-to-all: V3's tokens visit four nodes, one of the eight groups each") {
    const AllToAll traffic = all_to_all(test::v3(), test::published_run(), 64);
    CHECK(traffic.nodes == 4);
    CHECK(traffic.dispatch_bytes == 7168 * (1 + 4.0 / 128));
    CHECK(traffic.combine_bytes == 7168 * 2);
    CHECK(traffic.scale_out_dispatch == 4 * traffic.dispatch_bytes);
    CHECK(traffic.scale_up_combine == doctest::Approx(boxes_hit(256, 8, 64) * 7168 * 2));
}

TEST_CASE("all-to-all: one node needs no network between nodes, one GPU none at all") {
    const Inputs inputs = test::published_run();
    const AllToAll node = all_to_all(test::v3(), inputs, 8);
    CHECK(node.scale_out_dispatch == 0);
    CHECK(node.scale_up_dispatch > 0);
    const AllToAll alone = all_to_all(test::v3(), inputs, 1);
    CHECK(alone.scale_up_dispatch == 0);
    CHECK(dispatch_seconds(alone, inputs, 4096) == 0);
}

TEST_CASE("all-to-all: without groups a token visits as many nodes as its experts lie on") {
    model::ModelConfig config = test::v3();
    config.n_group = config.topk_group = 1;
    const AllToAll free = all_to_all(config, test::published_run(), 64);
    CHECK(free.nodes == doctest::Approx(gpus_by_sampling(256, 8, 8)).epsilon(0.005));
    CHECK(free.nodes > 5);  // what the report's limit of four saves
}

TEST_CASE("all-to-all: the slower network sets the time, and efficiency divides it") {
    Inputs inputs = test::published_run();
    const AllToAll traffic = all_to_all(test::v3(), inputs, 64);
    const double before = dispatch_seconds(traffic, inputs, 4096);
    CHECK(before == doctest::Approx(4096 * traffic.scale_out_dispatch / 50e9 / 0.6251));
    test::set(inputs, "network.scale_out_gb_per_s", "1e6");
    CHECK(dispatch_seconds(traffic, inputs, 4096) ==
          doctest::Approx(4096 * traffic.scale_up_dispatch / 160e9 / 0.6251));
    test::set(inputs, "efficiency.dispatch", "1");
    CHECK(dispatch_seconds(traffic, inputs, 4096) ==
          doctest::Approx(4096 * traffic.scale_up_dispatch / 160e9));
    CHECK(combine_seconds(traffic, inputs, 0) == 0);
}

TEST_CASE("bytes of an element: the values and their share of a scale") {
    CHECK(bytes_per_element("bf16") == 2);
    CHECK(bytes_per_element("fp8") == 1.03125);
    CHECK(bytes_per_element("mxfp8") == 1.03125);
    CHECK(bytes_per_element("nvfp4") == 0.5625);
    CHECK_THROWS_WITH_AS(bytes_per_element("int3"), doctest::Contains("int3"), Error);
}

}  // namespace hadal::plan
