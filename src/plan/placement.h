// Where parameters live: the cut of a model into pipeline stages, and what a rank holds of them.
#pragma once

#include <vector>

#include "model/config.h"
#include "plan/inputs.h"

namespace hadal::plan {

/// Elements by kind, from the shapes alone; tested against sums over the table of parameters.
struct ParameterSizes {
    double attention = 0;  // projections and latent norms of one layer
    double norms = 0;      // of one layer
    double dense = 0;      // feed-forward of a dense layer
    double expert = 0;     // one routed expert
    double shared = 0;     // shared experts of one layer
    double router = 0;     // of one layer, its bias included
    double mtp_extra = 0;  // of an MTP module beside its layer
    double embedding = 0, head = 0, final_norm = 0;
};
ParameterSizes parameter_sizes(const model::ModelConfig& config);

struct Stage {
    int64_t dense_layers = 0, moe_layers = 0, mtp = 0;
    bool embedding = false, head = false;

    int64_t layers() const {
        return dense_layers + moe_layers + mtp;
    }
};

/// Layers and MTP modules in order; where they do not divide, the middle stages take one more,
/// since embedding, head and loss weigh on the ends.
std::vector<Stage> cut_into_stages(const model::ModelConfig& config, int64_t mtp, int64_t stages);

/// Stages of pipeline rank `rank`: DualPipe's r and PP−1−r, DualPipeV's and ZB-V's r and 2·PP−1−r,
/// interleaved's r, r + PP, …
std::vector<Stage> stages_of_rank(const std::vector<Stage>& stages, const Layout& layout,
                                  int64_t rank);

/// Elements on one GPU.
struct RankParameters {
    double replicated = 0;  // the same on all data-parallel ranks
    double experts = 0;     // the rank's share of the routed experts

    double total() const {
        return replicated + experts;
    }
};
RankParameters rank_parameters(const ParameterSizes& sizes, const std::vector<Stage>& stages,
                               const model::ModelConfig& config, const Layout& layout);

/// How many GPUs hold the same parameter.
double replicas(const Layout& layout);
double expert_replicas(const Layout& layout);

/// Error(bad_input) unless the layout can run this model: what contradicts what, and what to
/// change.
void check_layout(const model::ModelConfig& config, const Inputs& inputs);
bool is_possible(const model::ModelConfig& config, const Inputs& inputs);

}  // namespace hadal::plan
