#include "pipeline/schedule_zero_bubble.h"

#include <algorithm>
#include <limits>
#include <optional>
#include <set>

#include "core/error.h"
#include "pipeline/messages.h"

namespace hadal::pipeline {

namespace {

constexpr double kNotYet = std::numeric_limits<double>::infinity();

/// A step of ZB-V as it is played: which action each rank runs next.
class VeeStep {
  public:
    explicit VeeStep(const Shape& shape)
        : ranks_(shape.ranks),
          micro_batches_(shape.micro_batches),
          timing_(shape.timing),
          forward_end_(size_t(2 * shape.ranks) * size_t(shape.micro_batches), kNotYet),
          gradient_end_(forward_end_),
          states_(size_t(shape.ranks)) {}

    std::vector<std::vector<Action>> play() {
        std::vector<std::vector<Action>> actions(static_cast<size_t>(ranks_));
        int64_t left = int64_t(ranks_) * micro_batches_ * 6;  // F, Bi and W of two stages
        while (left > 0) {
            bool moved = false;
            for (int rank = 0; rank < ranks_; ++rank) {
                if (states_[size_t(rank)].free_at > now_) continue;
                const std::optional<Action> action = choose(rank);
                if (!action) continue;
                run(rank, *action);
                actions[size_t(rank)].push_back(*action);
                --left;
                moved = true;
            }
            if (!moved) advance_clock();
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
        double free_at = 0;
    };

    /// To the next moment when a rank is done with something or a message arrives.
    void advance_clock() {
        const auto next = moments_.upper_bound(now_);
        // There is one: the place kept free lets the oldest micro-batch go on.
        HADAL_ASSERT(next != moments_.end());
        now_ = *next;
        moments_.erase(moments_.begin(), next);
    }

    int stage(int rank, int slot) const {
        return slot == 0 ? rank : 2 * ranks_ - 1 - rank;
    }
    double& end_of(std::vector<double>& ends, const Chunk& chunk) const {
        return ends[size_t(chunk.stage) * size_t(micro_batches_) + size_t(chunk.micro_batch)];
    }
    /// Whether what was made in the stage of `chunk` has reached `rank`.
    bool is_here(std::vector<double>& ends, const Chunk& chunk, int rank) const {
        const bool made_here = chunk.stage == stage(rank, 0) || chunk.stage == stage(rank, 1);
        return end_of(ends, chunk) + (made_here ? 0 : timing_.message) <= now_;
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
            if (chunk.micro_batch == micro_batches_ || !is_here(forward_end_, chunk, rank))
                continue;
            const Chunk after = {chunk.stage + 1, chunk.micro_batch};
            if (after.stage < 2 * ranks_ && !is_here(gradient_end_, after, rank)) continue;
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
               (before < 0 || is_here(forward_end_, {before, micro_batch}, rank));
    }

    Action forward(int rank, int slot) const {
        return {.kind = ActionKind::forward,
                .chunk = {stage(rank, slot), states_[size_t(rank)].forwards[slot]}};
    }

    void run(int rank, const Action& action) {
        State& state = states_[size_t(rank)];
        state.free_at = now_ + timing_.duration(action);
        moments_.insert({state.free_at, state.free_at + timing_.message});
        const int slot = action.chunk.stage < ranks_ ? 0 : 1;
        if (action.kind == ActionKind::forward) {
            ++state.forwards[slot];
            ++state.live;
            end_of(forward_end_, action.chunk) = state.free_at;
        } else if (action.kind == ActionKind::backward_input) {
            ++state.gradients[slot];
            state.deferred.push_back(action.chunk);
            end_of(gradient_end_, action.chunk) = state.free_at;
        } else {
            ++state.weights;
            --state.live;
        }
    }

    int ranks_;
    int micro_batches_;
    const Timing& timing_;
    double now_ = 0;
    std::set<double> moments_;          // when something ends or arrives
    std::vector<double> forward_end_;   // [2·ranks · micro_batches]
    std::vector<double> gradient_end_;  // [2·ranks · micro_batches]
    std::vector<State> states_;         // [ranks]
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
    check_timing(shape.timing, schedule.stages);
    schedule.actions = VeeStep(shape).play();
    add_messages(schedule);
    return schedule;
}

}  // namespace hadal::pipeline
