#include "pipeline/dual_steps.h"

#include "core/error.h"

namespace hadal::pipeline {

std::vector<Action> DualSteps::actions(const Rank& rank) {
    DualSteps steps(rank);
    steps.run();
    HADAL_ASSERT(steps.done_ == steps.deferred_.size());
    return std::move(steps.actions_);
}

void DualSteps::run() {
    const int to_middle = rank_.to_middle, depth = rank_.depth;
    const int pairs = rank_.micro_batches - 2 * (to_middle + depth) + depth;
    for (int i = 0; i < 2 * to_middle; ++i) forward(0);
    for (int i = 0; i < depth; ++i) {
        forward(0);
        forward(1);
    }
    for (int i = 0; i < to_middle; ++i) {
        backward_input(1);
        backward_weight();
        forward(1);
    }
    for (int i = 0; i < pairs; ++i) {
        if (i == 0 && to_middle == 0) {
            forward(0);
            backward(1);
        } else {
            pair(0, 1);
        }
        pair(1, 0);
    }
    for (int i = 0; i < to_middle; ++i) {
        backward(1);
        pair(1, 0);
    }
    // Of these 2·D backwards the first D are whole.
    for (int i = 0; i < 2 * depth; ++i) {
        const int phase = i % 2 == 0 ? 1 : 0;
        if (i < depth) {
            backward(phase);
        } else {
            backward_input(phase);
        }
    }
    for (int i = 0; i < to_middle; ++i) {
        backward_weight();
        backward_input(0);
    }
    while (done_ < deferred_.size()) backward_weight();
}

Chunk DualSteps::next(int phase, int (&count)[2]) const {
    const Phase& source = rank_.phases[phase];
    return {source.stage, source.first_micro_batch + count[phase]++};
}

void DualSteps::forward(int phase) {
    actions_.push_back({.kind = ActionKind::forward, .chunk = next(phase, forwards_)});
}

void DualSteps::backward(int phase) {
    actions_.push_back({.kind = ActionKind::backward, .chunk = next(phase, backwards_)});
}

void DualSteps::backward_input(int phase) {
    const Chunk chunk = next(phase, backwards_);
    actions_.push_back({.kind = ActionKind::backward_input, .chunk = chunk});
    deferred_.push_back(chunk);
}

void DualSteps::backward_weight() {
    actions_.push_back({.kind = ActionKind::backward_weight, .chunk = deferred_[done_++]});
}

void DualSteps::pair(int forward_phase, int backward_phase) {
    const Chunk chunk = next(forward_phase, forwards_);
    actions_.push_back({.kind = ActionKind::forward_backward,
                        .chunk = chunk,
                        .backward = next(backward_phase, backwards_)});
}

}  // namespace hadal::pipeline
