// Dispatch and combine between the GPUs that share a layer's experts: which nodes a token visits,
// bytes, times. Report §3.2.2: a token crosses InfiniBand once for each node, then fans out over
// NVLink.
#pragma once

#include <string_view>

#include "model/config.h"
#include "plan/inputs.h"

namespace hadal::plan {

/// Bytes of one element with its share of the scales: 1 + 4/128 for the report's FP8.
double bytes_per_element(std::string_view precision);

struct AllToAll {
    double nodes = 0;           // M: visited by a token on average, its own among them
    double dispatch_bytes = 0;  // one row
    double combine_bytes = 0;
    // Per token and layer, one direction; logical bytes: the token's own node counts, as in
    // published bandwidths.
    double scale_out_dispatch = 0, scale_out_combine = 0;
    double scale_up_dispatch = 0, scale_up_combine = 0;
};

/// For `ep` GPUs. Nodes are visited as the router's groups allow where each node holds whole
/// groups, else as K independent choices would.
AllToAll all_to_all(const model::ModelConfig& config, const Inputs& inputs, int64_t ep);

/// Seconds of one dispatch or combine of `tokens` per GPU: the slower of the two networks.
double dispatch_seconds(const AllToAll& traffic, const Inputs& inputs, double tokens);
double combine_seconds(const AllToAll& traffic, const Inputs& inputs, double tokens);

/// Mean number of distinct boxes hit by `draws` of `items` without repetition, `items` spread
/// evenly over `boxes`.
double boxes_hit(double items, double draws, double boxes);

}  // namespace hadal::plan
