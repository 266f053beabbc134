#include "infer/expert_placement.h"

#include <algorithm>
#include <numeric>

#include "core/error.h"

namespace hadal::infer {

namespace {

constexpr double kLargestLoad = 1e30;  // sums stay finite

/// Where each item went: pack · capacity + place in the pack.
using Places = std::vector<int>;

/// Items from the heaviest on, each to the lightest pack that has a place left.
Places pack_balanced(const std::vector<double>& weights, int packs) {
    const int items = int(weights.size()), capacity = items / packs;
    Places places(weights.size());
    std::iota(places.begin(), places.end(), 0);
    if (capacity == 1) return places;
    std::vector<int> order = places;
    std::ranges::stable_sort(
        order, [&weights](int a, int b) { return weights[size_t(a)] > weights[size_t(b)]; });
    std::vector<double> sums(size_t(packs), 0.0);
    std::vector<int> filled(size_t(packs), 0);
    for (const int item : order) {
        int lightest = -1;
        for (int pack = 0; pack < packs; ++pack) {
            if (filled[size_t(pack)] == capacity) continue;
            if (lightest < 0 || sums[size_t(pack)] < sums[size_t(lightest)]) lightest = pack;
        }
        places[size_t(item)] = lightest * capacity + filled[size_t(lightest)]++;
        sums[size_t(lightest)] += weights[size_t(item)];
    }
    return places;
}

/// The expert of each of `count` replicas: one of each first, then always one more of the expert
/// whose replicas are the most loaded.
std::vector<int> replicate(const std::vector<double>& weights, int count) {
    std::vector<int> experts(weights.size());
    std::iota(experts.begin(), experts.end(), 0);
    std::vector<double> replicas(weights.size(), 1.0);
    while (int(experts.size()) < count) {
        size_t hottest = 0;
        for (size_t e = 1; e < weights.size(); ++e) {
            if (weights[e] / replicas[e] > weights[hottest] / replicas[hottest]) hottest = e;
        }
        experts.push_back(int(hottest));
        ++replicas[hottest];
    }
    return experts;
}

/// Experts in an order in which each node's are consecutive.
std::vector<int> order_by_node(std::span<const double> load, int groups, int nodes) {
    const size_t per_group = load.size() / size_t(groups);
    std::vector<double> group_load;
    for (size_t first = 0; first < load.size(); first += per_group) {
        const auto begin = load.begin() + std::ptrdiff_t(first);
        group_load.push_back(std::accumulate(begin, begin + std::ptrdiff_t(per_group), 0.0));
    }
    const Places places = pack_balanced(group_load, nodes);
    std::vector<int> order(load.size());
    for (size_t e = 0; e < load.size(); ++e) {
        order[size_t(places[e / per_group]) * per_group + e % per_group] = int(e);
    }
    return order;
}

/// Replicas and slots of one node's experts, written to the node's slots.
void place_on_node(std::span<const double> load, std::span<const int> experts, int gpus,
                   std::span<int> expert_of) {
    std::vector<double> weights;
    for (const int expert : experts) weights.push_back(load[size_t(expert)]);
    const std::vector<int> replicas = replicate(weights, int(expert_of.size()));
    std::vector<double> counts(experts.size(), 0.0);
    for (const int local : replicas) ++counts[size_t(local)];
    std::vector<double> shares;
    for (const int local : replicas) {
        shares.push_back(weights[size_t(local)] / counts[size_t(local)]);
    }
    const Places places = pack_balanced(shares, gpus);
    for (size_t i = 0; i < replicas.size(); ++i) {
        expert_of[size_t(places[i])] = experts[size_t(replicas[i])];
    }
}

std::vector<std::vector<int>> slots_by_expert(const std::vector<int>& expert_of, size_t experts) {
    std::vector<std::vector<int>> slots_of(experts);
    for (size_t slot = 0; slot < expert_of.size(); ++slot) {
        slots_of[size_t(expert_of[slot])].push_back(int(slot));
    }
    return slots_of;
}

[[noreturn]] void refuse(const std::string& message) {
    throw Error(Error::Kind::usage, message);
}

/// What holds for every placement; whole groups on whole nodes are for the hierarchical one alone.
void check(int experts, const ExpertSlots& slots) {
    if (experts < 1 || slots.gpus < 1 || slots.nodes < 1 || slots.groups < 1) {
        refuse("experts, GPUs, nodes and groups must be at least 1");
    }
    if (slots.slots < experts) {
        refuse(concat(slots.slots, " slots are fewer than the ", experts,
                      " experts, each of which needs one"));
    }
    if (slots.slots % slots.gpus != 0) {
        refuse(concat(slots.slots, " slots for experts do not divide by ", slots.gpus,
                      " GPUs (change the redundant experts by ",
                      slots.gpus - slots.slots % slots.gpus, ")"));
    }
    if (slots.gpus % slots.nodes != 0) {
        refuse(concat(slots.gpus, " GPUs do not divide by ", slots.nodes, " nodes"));
    }
    if (experts % slots.groups != 0) {
        refuse(concat(experts, " experts do not divide by ", slots.groups, " groups"));
    }
}

double largest_over_mean(const std::vector<double>& values) {
    const double sum = std::accumulate(values.begin(), values.end(), 0.0);
    return sum > 0 ? std::ranges::max(values) * double(values.size()) / sum : 1;
}

}  // namespace

std::string_view name(PlacementPolicy policy) {
    return policy == PlacementPolicy::hierarchical ? "hierarchical" : "global";
}

ExpertPlacement place_experts(std::span<const double> load, const ExpertSlots& slots) {
    check(int(load.size()), slots);
    for (size_t e = 0; e < load.size(); ++e) {
        if (!(load[e] >= 0 && load[e] <= kLargestLoad)) {
            throw Error(Error::Kind::bad_input,
                        concat("the load of expert ", e, " is ", load[e],
                               " (it must be a number from 0 to ", kLargestLoad, ")"));
        }
    }
    ExpertPlacement placement;
    const bool hierarchical = slots.groups % slots.nodes == 0;
    placement.policy = hierarchical ? PlacementPolicy::hierarchical : PlacementPolicy::global;
    const int nodes = hierarchical ? slots.nodes : 1;
    const std::vector<int> order = order_by_node(load, hierarchical ? slots.groups : 1, nodes);
    placement.expert_of.resize(size_t(slots.slots));
    const size_t experts_of_node = load.size() / size_t(nodes);
    const size_t slots_of_node = size_t(slots.slots / nodes);
    for (size_t node = 0; node < size_t(nodes); ++node) {
        place_on_node(load, std::span(order).subspan(node * experts_of_node, experts_of_node),
                      slots.gpus / nodes,
                      std::span(placement.expert_of).subspan(node * slots_of_node, slots_of_node));
    }
    placement.slots_of = slots_by_expert(placement.expert_of, load.size());
    return placement;
}

ExpertPlacement experts_in_order(int experts, const ExpertSlots& slots) {
    check(experts, slots);
    if (slots.slots != experts) refuse("experts in order have one slot each");
    ExpertPlacement placement;
    placement.expert_of.resize(size_t(experts));
    std::iota(placement.expert_of.begin(), placement.expert_of.end(), 0);
    placement.slots_of = slots_by_expert(placement.expert_of, size_t(experts));
    return placement;
}

std::vector<double> gpu_loads(std::span<const double> load, const ExpertPlacement& placement,
                              const ExpertSlots& slots) {
    std::vector<double> loads(size_t(slots.gpus), 0.0);
    for (size_t slot = 0; slot < placement.expert_of.size(); ++slot) {
        const size_t expert = size_t(placement.expert_of[slot]);
        loads[slot / size_t(slots.slots_per_gpu())] +=
            load[expert] / double(placement.slots_of[expert].size());
    }
    return loads;
}

ExpertImbalance expert_imbalance(std::span<const double> load, const ExpertPlacement& placement,
                                 const ExpertSlots& slots) {
    const std::vector<double> gpus = gpu_loads(load, placement, slots);
    std::vector<double> nodes(size_t(slots.nodes), 0.0), replicas;
    for (size_t gpu = 0; gpu < gpus.size(); ++gpu) {
        nodes[gpu * size_t(slots.nodes) / gpus.size()] += gpus[gpu];
    }
    for (const int expert : placement.expert_of) {
        replicas.push_back(load[size_t(expert)] /
                           double(placement.slots_of[size_t(expert)].size()));
    }
    return {largest_over_mean(gpus), largest_over_mean(nodes), largest_over_mean(replicas)};
}

}  // namespace hadal::infer
