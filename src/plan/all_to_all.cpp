#include "plan/all_to_all.h"

#include <algorithm>
#include <cmath>

#include "core/error.h"

namespace hadal::plan {

double bytes_per_element(std::string_view precision) {
    if (precision == "bf16") return 2;
    if (precision == "fp8") return 1 + 4.0 / 128;     // an FP32 scale for 128 elements
    if (precision == "mxfp8") return 1 + 1.0 / 32;    // an E8M0 scale for 32
    if (precision == "nvfp4") return 0.5 + 1.0 / 16;  // an E4M3 scale for 16
    throw Error(Error::Kind::internal, concat("no bytes for precision ", precision));
}

double boxes_hit(double items, double draws, double boxes) {
    const double others = items - items / boxes;  // outside one box
    double missed = 1;                            // that no draw falls into it
    for (double i = 0; i < draws; ++i) missed *= std::max(0.0, (others - i) / (items - i));
    return boxes * (1 - missed);
}

AllToAll all_to_all(const model::ModelConfig& config, const Inputs& inputs, int64_t ep) {
    const auto experts = double(config.n_routed_experts), k = double(config.num_experts_per_tok);
    const auto d = double(config.hidden_size), groups = double(config.n_group);
    AllToAll traffic;
    if (config.n_routed_experts == 0 || ep == 1) return traffic;
    const double node_gpus = std::min(inputs.network.gpus_per_node, double(ep));
    const double nodes = std::ceil(double(ep) / node_gpus);
    const bool limited = groups > 1 && nodes <= groups;
    traffic.nodes = limited ? boxes_hit(groups, double(config.topk_group), nodes)
                            : boxes_hit(experts, k, nodes);
    if (inputs.layout.nodes > 0) traffic.nodes = std::min(inputs.layout.nodes, nodes);
    traffic.dispatch_bytes = d * bytes_per_element(inputs.layout.precision);
    traffic.combine_bytes = d * bytes_per_element(inputs.layout.combine_precision);
    const double crossings = nodes > 1 ? traffic.nodes : 0;
    traffic.scale_out_dispatch = crossings * traffic.dispatch_bytes;
    traffic.scale_out_combine = crossings * traffic.combine_bytes;
    const double hops = node_gpus > 1 ? boxes_hit(experts, k, double(ep)) : 0;  // GPUs that get it
    traffic.scale_up_dispatch = hops * traffic.dispatch_bytes;
    traffic.scale_up_combine = hops * traffic.combine_bytes;
    return traffic;
}

namespace {

double seconds(const Inputs& inputs, double tokens, double out_bytes, double up_bytes,
               double efficiency) {
    const double out = out_bytes / (inputs.network.scale_out_gb_per_s * 1e9);
    const double up = up_bytes / (inputs.network.scale_up_gb_per_s * 1e9);
    return tokens * std::max(out, up) / efficiency;
}

}  // namespace

double dispatch_seconds(const AllToAll& traffic, const Inputs& inputs, double tokens) {
    return seconds(inputs, tokens, traffic.scale_out_dispatch, traffic.scale_up_dispatch,
                   inputs.efficiency.dispatch);
}

double combine_seconds(const AllToAll& traffic, const Inputs& inputs, double tokens) {
    return seconds(inputs, tokens, traffic.scale_out_combine, traffic.scale_up_combine,
                   inputs.efficiency.combine);
}

}  // namespace hadal::plan
