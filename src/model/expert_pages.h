// Brings the experts that tokens chose from a mapped checkpoint into memory. Left to page faults
// the system would fetch what lies beside them too, megabytes at a time: experts that no token
// needs.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/parameters.h"

namespace hadal::model {

/// Of one layer. Used by one thread at a time.
class ExpertPages {
  public:
    /// `again`: asks in every step, for weights that do not fit into memory and may have left it;
    /// else each expert once.
    ExpertPages(size_t experts, bool again) : asked_(experts, 0), again_(again) {}

    /// Begins to read the experts that have rows and returns at once; the bytes asked for.
    /// `offsets` as those of ExpertsSaved.
    int64_t bring(const std::vector<FeedForwardWeights>& experts, std::span<const int64_t> offsets);

  private:
    std::vector<uint8_t> asked_;
    bool again_;
};

/// For every MoE layer of weights that lie in mapped files.
void bring_experts_when_chosen(Weights& weights);

}  // namespace hadal::model
