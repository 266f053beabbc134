#include "pipeline/schedule_zero_bubble.h"

#include <algorithm>
#include <limits>
#include <optional>

#include "core/error.h"
#include "pipeline/messages.h"

namespace hadal::pipeline {

namespace {

constexpr int kNotYet = std::numeric_limits<int>::max();

/// The table of ZB-V: which action each rank runs in each tick.
class VeeTable {
  public:
    VeeTable(int ranks, int micro_batches)
        : ranks_(ranks),
          micro_batches_(micro_batches),
          forward_end_(size_t(2 * ranks) * size_t(micro_batches), kNotYet),
          gradient_end_(forward_end_),
          states_(size_t(ranks)) {}

    std::vector<std::vector<Action>> fill() {
        std::vector<std::vector<Action>> actions(static_cast<size_t>(ranks_));
        int64_t left = int64_t(ranks_) * micro_batches_ * 6;  // F, Bi and W of two stages
        for (tick_ = 0; left > 0; ++tick_) {
            for (int rank = 0; rank < ranks_; ++rank) {
                const std::optional<Action> action = choose(rank);
                if (!action) continue;
                run(rank, *action);
                actions[size_t(rank)].push_back(*action);
                --left;
            }
            // One micro-batch after another would take 6·ranks ticks each.
            HADAL_ASSERT(tick_ < 6 * int64_t(ranks_) * micro_batches_);
        }
        return actions;
    }

  private:
    struct State {
        int forwards[2] = {0, 0};   // of stage r, of stage 2·ranks−1−r
        int gradients[2] = {0, 0};  // the same, input gradients
        std::vector<Chunk> deferred;
        size_t weights = 0;  // of `deferred`, done
        int live = 0;        // chunks
    };

    int stage(int rank, int slot) const {
        return slot == 0 ? rank : 2 * ranks_ - 1 - rank;
    }
    int& end_of(std::vector<int>& ends, const Chunk& chunk) const {
        return ends[size_t(chunk.stage) * size_t(micro_batches_) + size_t(chunk.micro_batch)];
    }
    bool is_done(std::vector<int>& ends, const Chunk& chunk) const {
        return end_of(ends, chunk) <= tick_;
    }

    std::optional<Action> choose(int rank) {
        if (const auto action = oldest_gradient(rank)) return action;
        // One place stays free for a forward on the way up, without which no gradient comes back.
        const int capacity = 2 * ranks_;
        State& state = states_[size_t(rank)];
        if (state.live < capacity && can_forward(rank, 1)) return forward(rank, 1);
        if (state.live < capacity - 1 && can_forward(rank, 0)) return forward(rank, 0);
        if (state.weights < state.deferred.size()) {
            return Action{.kind = ActionKind::backward_weight,
                          .chunk = state.deferred[state.weights]};
        }
        return std::nullopt;
    }

    std::optional<Action> oldest_gradient(int rank) {
        std::optional<Action> oldest;
        for (const int slot : {1, 0}) {
            const Chunk chunk = {stage(rank, slot), states_[size_t(rank)].gradients[slot]};
            if (chunk.micro_batch == micro_batches_ || !is_done(forward_end_, chunk)) continue;
            const Chunk after = {chunk.stage + 1, chunk.micro_batch};
            if (after.stage < 2 * ranks_ && !is_done(gradient_end_, after)) continue;
            if (!oldest || chunk.micro_batch < oldest->chunk.micro_batch) {
                oldest = {.kind = ActionKind::backward_input, .chunk = chunk};
            }
        }
        return oldest;
    }

    bool can_forward(int rank, int slot) {
        const int micro_batch = states_[size_t(rank)].forwards[slot];
        const int before = stage(rank, slot) - 1;
        return micro_batch < micro_batches_ &&
               (before < 0 || is_done(forward_end_, {before, micro_batch}));
    }

    Action forward(int rank, int slot) const {
        return {.kind = ActionKind::forward,
                .chunk = {stage(rank, slot), states_[size_t(rank)].forwards[slot]}};
    }

    void run(int rank, const Action& action) {
        State& state = states_[size_t(rank)];
        const int slot = action.chunk.stage < ranks_ ? 0 : 1;
        if (action.kind == ActionKind::forward) {
            ++state.forwards[slot];
            ++state.live;
            end_of(forward_end_, action.chunk) = tick_ + 1;
        } else if (action.kind == ActionKind::backward_input) {
            ++state.gradients[slot];
            state.deferred.push_back(action.chunk);
            end_of(gradient_end_, action.chunk) = tick_ + 1;
        } else {
            ++state.weights;
            --state.live;
        }
    }

    int ranks_;
    int micro_batches_;
    int tick_ = 0;
    std::vector<int> forward_end_;   // [2·ranks · micro_batches] tick
    std::vector<int> gradient_end_;  // [2·ranks · micro_batches] tick
    std::vector<State> states_;      // [ranks]
};

}  // namespace

Schedule schedule_zb_h1(const Shape& shape) {
    Schedule schedule = {.name = "zb-h1",
                         .ranks = shape.ranks,
                         .stages = shape.ranks,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::loop};
    for (int rank = 0; rank < shape.ranks; ++rank) {
        const int warm_up = std::min(shape.ranks - 1 - rank, shape.micro_batches);
        std::vector<Action>& actions = schedule.actions.emplace_back();
        const auto add = [&](ActionKind kind, int micro_batch) {
            if (micro_batch >= 0 && micro_batch < shape.micro_batches) {
                actions.push_back({.kind = kind, .chunk = {rank, micro_batch}});
            }
        };
        for (int m = 0; m < warm_up; ++m) add(ActionKind::forward, m);
        for (int m = 0; m < shape.micro_batches + rank; ++m) {
            add(ActionKind::forward, m + warm_up);
            add(ActionKind::backward_input, m);
            add(ActionKind::backward_weight, m - rank);
        }
    }
    add_messages(schedule);
    return schedule;
}

Schedule schedule_zb_v(const Shape& shape) {
    Schedule schedule = {.name = "zb-v",
                         .ranks = shape.ranks,
                         .stages = 2 * shape.ranks,
                         .micro_batches = shape.micro_batches,
                         .placement = Placement::vee};
    schedule.actions = VeeTable(shape.ranks, shape.micro_batches).fill();
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
