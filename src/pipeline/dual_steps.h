// The eight steps that DualPipe and DualPipeV have in common.
#pragma once

#include <vector>

#include "pipeline/action.h"

namespace hadal::pipeline {

/// One rank of the eight steps (V3 report §3.2.1, figure 5). A rank runs two phases: phase 0 is
/// the stage whose input end is nearer, phase 1 the other one. F0 is the forward of the next
/// micro-batch of phase 0, B1 a backward of phase 1, Bi and W its two parts, F0&B1 a pair. With
/// L ranks between this one and the middle, and D = `depth` before it, itself included:
///
///     1  2L times              F0             fill what is between here and the middle
///     2  D times               F0, F1
///     3  L times               Bi1, W, F1     weight gradients fill the wait
///     4  micro_batches − 2·(L+D) + D times    F0&B1, F1&B0
///     5  L times               B1, F1&B0
///     6  D times               B1, B0         the second half of them without W
///     7  L times               W, Bi0
///     8  what is left          W
///
/// W always takes the oldest deferred one. The middle (L = 0) runs its first pair apart, F0 and
/// then B1: the middle's neighbour waits for nothing but that F0.
class DualSteps {
  public:
    /// The chunks of a phase are `phase[p]` with the micro-batches `first_micro_batch[p]` … on.
    struct Phase {
        int stage = 0;
        int first_micro_batch = 0;
    };
    struct Rank {
        int to_middle = 0;      // L
        int depth = 1;          // D
        int micro_batches = 2;  // of each phase; at least 2·(L + D)
        Phase phases[2];
    };

    static std::vector<Action> actions(const Rank& rank);

  private:
    explicit DualSteps(const Rank& rank) : rank_(rank) {}

    void run();
    Chunk next(int phase, int (&count)[2]) const;
    void forward(int phase);
    void backward(int phase);
    void backward_input(int phase);
    void backward_weight();
    void pair(int forward_phase, int backward_phase);

    const Rank& rank_;
    int forwards_[2] = {0, 0};
    int backwards_[2] = {0, 0};
    std::vector<Chunk> deferred_;  // chunks whose W is to come, oldest first
    size_t done_ = 0;              // of deferred_
    std::vector<Action> actions_;
};

}  // namespace hadal::pipeline
