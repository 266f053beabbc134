#include "infer/expert_placement.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>

#include "core/error.h"
#include "core/file_map.h"
#include "core/json.h"
#include "core/random.h"

namespace hadal::infer {

namespace {

using Json = nlohmann::json;

/// The experts of each GPU, in no order: what the order of slots on a GPU cannot change.
std::vector<std::multiset<int>> by_gpu(const std::vector<int>& expert_of,
                                       const ExpertSlots& slots) {
    std::vector<std::multiset<int>> gpus(static_cast<size_t>(slots.gpus));
    for (size_t slot = 0; slot < expert_of.size(); ++slot) {
        gpus[slot / size_t(slots.slots_per_gpu())].insert(expert_of[slot]);
    }
    return gpus;
}

/// Everything that must hold for any load.
void check_rules(const ExpertPlacement& placement, size_t experts, const ExpertSlots& slots) {
    REQUIRE(placement.expert_of.size() == size_t(slots.slots));
    REQUIRE(placement.slots_of.size() == experts);
    size_t replicas = 0;
    for (size_t expert = 0; expert < experts; ++expert) {
        const std::vector<int>& of = placement.slots_of[expert];
        REQUIRE(!of.empty());
        CHECK(std::ranges::is_sorted(of));
        for (const int slot : of) CHECK(placement.expert_of[size_t(slot)] == int(expert));
        replicas += of.size();
    }
    CHECK(replicas == size_t(slots.slots));
    if (placement.policy == PlacementPolicy::global) return;
    // A group lies on one node, and every node has as many groups.
    const size_t slots_of_node = size_t(slots.slots / slots.nodes);
    std::vector<std::set<size_t>> nodes_of_group(static_cast<size_t>(slots.groups));
    for (size_t slot = 0; slot < placement.expert_of.size(); ++slot) {
        const size_t group = size_t(placement.expert_of[slot]) * size_t(slots.groups) / experts;
        nodes_of_group[group].insert(slot / slots_of_node);
    }
    std::vector<int> groups_of_node(size_t(slots.nodes), 0);
    for (const auto& nodes : nodes_of_group) {
        REQUIRE(nodes.size() == 1);
        ++groups_of_node[*nodes.begin()];
    }
    for (const int groups : groups_of_node) CHECK(groups == slots.groups / slots.nodes);
}

struct RandomCase {
    explicit RandomCase(uint64_t seed) {
        RandomSequence random(seed);
        slots.nodes = 1 + int(random.below(4));
        slots.gpus = slots.nodes * (1 + int(random.below(4)));
        slots.groups = 1 + int(random.below(2 * uint64_t(slots.nodes)));
        const int experts = slots.groups * (slots.gpus * (1 + int(random.below(4))));
        slots.slots = experts + slots.gpus * int(random.below(4));
        // Even, skewed, very skewed; sometimes equal values and zeros.
        const double power = double(random.below(3));
        for (int e = 0; e < experts; ++e) {
            load.push_back(random.below(8) == 0 ? double(random.below(3))
                                                : 100 * std::exp(power * random.normal()));
        }
    }

    ExpertSlots slots;
    std::vector<double> load;
};

double largest_share(const std::vector<double>& load, const ExpertPlacement& placement) {
    double largest = 0;
    for (size_t e = 0; e < load.size(); ++e) {
        largest = std::max(largest, load[e] / double(placement.slots_of[e].size()));
    }
    return largest;
}

}  // namespace

TEST_CASE("expert placement: as good as the published balancer on its own tables, or better") {
    const std::string path = HADAL_TEST_DATA "/golden/eplb/cases.json";
    for (const Json& c : parse_json(read_file(path), path)) {
        const ExpertSlots slots = {.slots = c["num_replicas"],
                                   .groups = c["num_groups"],
                                   .nodes = 1,
                                   .gpus = c["num_gpus"]};
        const bool hierarchical = c["policy"] == "hierarchical";
        for (size_t layer = 0; layer < c["load"].size(); ++layer) {
            const std::string name = c["name"];
            CAPTURE(name);
            CAPTURE(layer);
            ExpertSlots of = slots;
            // The published global tables ignore nodes, which there need not divide the GPUs.
            if (hierarchical) {
                of.nodes = c["num_nodes"];
            } else {
                of.groups = 1;
            }
            const std::vector<double> load = c["load"][layer];
            const ExpertPlacement placement = place_experts(load, of);
            check_rules(placement, load.size(), of);
            const ExpertImbalance imbalance = expert_imbalance(load, placement, of);
            const Json& balance = c["balance"][layer];
            CHECK(imbalance.gpu <= double(balance["gpu_max_over_mean"]) * (1 + 1e-6));
            CHECK(imbalance.replica <= double(balance["replica_max_over_mean"]) * (1 + 1e-6));
            if (hierarchical) {
                CHECK(imbalance.node == doctest::Approx(double(balance["node_max_over_mean"])));
            }
            if (c["equal_loads_present"]) continue;
            CHECK(by_gpu(placement.expert_of, of) == by_gpu(c["phy2log"][layer], of));
        }
    }
}

TEST_CASE("expert placement: tables of a small layer, slot by slot") {
    const std::vector<double> first = {90, 132, 40, 61, 104, 165, 39, 4, 73, 56, 183, 86};
    const std::vector<double> second = {20, 107, 104, 64, 19, 197, 187, 157, 172, 86, 16, 27};
    const ExpertSlots hierarchical = {.slots = 16, .groups = 4, .nodes = 2, .gpus = 8};
    CHECK(place_experts(first, hierarchical).expert_of ==
          std::vector<int>{5, 6, 5, 7, 8, 4, 3, 4, 10, 9, 10, 2, 0, 1, 11, 1});
    CHECK(place_experts(second, hierarchical).expert_of ==
          std::vector<int>{7, 10, 6, 8, 6, 11, 8, 9, 2, 4, 5, 1, 5, 0, 3, 1});
    CHECK(gpu_loads(first, place_experts(first, hierarchical), hierarchical) ==
          std::vector<double>{121.5, 86.5, 125, 113, 147.5, 131.5, 156, 152});
    const ExpertSlots global = {.slots = 16, .groups = 3, .nodes = 2, .gpus = 8};
    CHECK(place_experts(first, global).expert_of ==
          std::vector<int>{10, 6, 10, 7, 0, 2, 11, 4, 5, 9, 5, 4, 8, 3, 1, 1});
    CHECK(place_experts(second, global).policy == PlacementPolicy::global);
    CHECK(place_experts(second, global).expert_of ==
          std::vector<int>{1, 10, 2, 4, 5, 11, 5, 0, 6, 7, 6, 3, 8, 8, 9, 7});
}

TEST_CASE("expert placement: every expert somewhere, every slot taken, groups kept on their node") {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        const RandomCase c(seed);
        const ExpertPlacement placement = place_experts(c.load, c.slots);
        check_rules(placement, c.load.size(), c.slots);
        CHECK((placement.policy == PlacementPolicy::hierarchical) ==
              (c.slots.groups % c.slots.nodes == 0));
    }
}

TEST_CASE("expert placement: a GPU's load exceeds its node's mean by no more than one replica") {
    for (uint64_t seed = 0; seed < 300; ++seed) {
        CAPTURE(seed);
        const RandomCase c(seed);
        const ExpertPlacement placement = place_experts(c.load, c.slots);
        const std::vector<double> loads = gpu_loads(c.load, placement, c.slots);
        const bool whole = placement.policy == PlacementPolicy::global;
        const size_t per_node = size_t(whole ? c.slots.gpus : c.slots.gpus / c.slots.nodes);
        for (size_t first = 0; first < loads.size(); first += per_node) {
            const auto begin = loads.begin() + std::ptrdiff_t(first);
            const auto end = begin + std::ptrdiff_t(per_node);
            const double mean = std::accumulate(begin, end, 0.0) / double(per_node);
            CHECK(*std::max_element(begin, end) <=
                  (mean + largest_share(c.load, placement)) * (1 + 1e-12));
        }
    }
}

TEST_CASE("expert placement: more redundancy never makes the most loaded replica heavier") {
    // It can make a GPU heavier: packing is a heuristic.
    for (uint64_t seed = 0; seed < 100; ++seed) {
        CAPTURE(seed);
        RandomCase c(seed);
        double before = std::numeric_limits<double>::infinity();
        for (int i = 0; i < 5; ++i, c.slots.slots += c.slots.gpus) {
            const double share = largest_share(c.load, place_experts(c.load, c.slots));
            CHECK(share <= before);
            before = share;
        }
    }
}

TEST_CASE("expert placement: without load, and the order without a balancer") {
    const std::vector<double> nothing(8, 0.0);
    const ExpertSlots slots = {.slots = 12, .groups = 2, .nodes = 2, .gpus = 4};
    const ExpertPlacement placement = place_experts(nothing, slots);
    check_rules(placement, 8, slots);
    CHECK(expert_imbalance(nothing, placement, slots).gpu == 1);
    const ExpertSlots plain = {.slots = 8, .groups = 2, .nodes = 2, .gpus = 4};
    const std::vector<double> load = {4, 0, 1, 1, 1, 1, 0, 0};
    const ExpertImbalance imbalance = expert_imbalance(load, experts_in_order(8, plain), plain);
    CHECK(imbalance.gpu == 2);
    CHECK(imbalance.node == 1.5);
    CHECK(imbalance.replica == 4);
}

TEST_CASE("expert placement: sizes that do not fit and loads that cannot be are refused") {
    const std::vector<double> load(8, 1.0);
    const auto refused = [&load](const ExpertSlots& slots) {
        CHECK_THROWS_AS(place_experts(load, slots), Error);
    };
    refused({.slots = 6, .gpus = 2});
    refused({.slots = 9, .gpus = 2});
    refused({.slots = 12, .groups = 1, .nodes = 3, .gpus = 4});
    refused({.slots = 8, .groups = 3, .gpus = 2});
    refused({.slots = 8, .gpus = 0});
    refused({.slots = 8, .groups = 0, .gpus = 2});
    CHECK_THROWS_AS(experts_in_order(8, {.slots = 10, .gpus = 2}), Error);
    std::vector<double> bad = load;
    bad[3] = -1;
    CHECK_THROWS_AS(place_experts(bad, {.slots = 8, .gpus = 2}), Error);
    bad[3] = std::numeric_limits<double>::quiet_NaN();
    CHECK_THROWS_AS(place_experts(bad, {.slots = 8, .gpus = 2}), Error);
}

}  // namespace hadal::infer
