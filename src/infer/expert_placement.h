// Which GPU holds which experts: hot experts get replicas, and replicas are spread so that every
// GPU has about the same load. V3 report §3.4.1 (redundant experts); the method is that of the
// published balancer, EPLB. Which of its replicas a token goes to is the dispatcher's choice; the
// loads here assume an even share.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace hadal::infer {

/// What experts are placed on. Slot s lies on GPU s / (slots / gpus), GPU g on node
/// g / (gpus / nodes).
struct ExpertSlots {
    int slots = 0;   // places for experts on all GPUs together; those beyond one each are redundant
    int groups = 1;  // expert groups of the gate (n_group)
    int nodes = 1;
    int gpus = 1;

    int slots_per_gpu() const {
        return slots / gpus;
    }
};

/// hierarchical: the groups of the gate stay together on a node, so that a token that may visit few
/// groups visits few nodes. global: any expert anywhere, if the groups do not divide by the nodes.
enum class PlacementPolicy { hierarchical, global };
std::string_view name(PlacementPolicy policy);

struct ExpertPlacement {
    PlacementPolicy policy = PlacementPolicy::global;
    std::vector<int> expert_of;              // [slots]
    std::vector<std::vector<int>> slots_of;  // [experts][replicas], ascending; at least one each
};

/// Places one layer's experts by their loads, in any unit: tokens of the last minutes, say.
/// Deterministic; equal loads go by the smaller index. Error(usage) if the sizes do not divide or
/// the slots do not suffice, Error(bad_input) if a load is negative, not a number or absurd.
ExpertPlacement place_experts(std::span<const double> load,  // [experts]
                              const ExpertSlots& slots);

/// Experts in their order, one slot each: what there is without a balancer. Error(usage) if the
/// sizes do not divide or there are more slots than experts.
ExpertPlacement experts_in_order(int experts, const ExpertSlots& slots);

/// The largest load over the mean; 1 is perfect, and 1 by convention if nothing is loaded.
struct ExpertImbalance {
    double gpu = 1;
    double node = 1;
    double replica = 1;
};

ExpertImbalance expert_imbalance(std::span<const double> load, const ExpertPlacement& placement,
                                 const ExpertSlots& slots);

/// [gpus] the load of each.
std::vector<double> gpu_loads(std::span<const double> load, const ExpertPlacement& placement,
                              const ExpertSlots& slots);

}  // namespace hadal::infer
