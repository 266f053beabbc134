#include "pipeline/messages.h"

#include <algorithm>
#include <tuple>

#include "pipeline/simulate.h"

namespace hadal::pipeline {

namespace {

/// An action and its place in the common order. At one moment messages go before computations.
struct Placed {
    double time = 0;
    Action action;

    auto key() const {
        return std::tuple(time, !action.is_message(), action.payload, action.chunk);
    }
};

class Placer {
  public:
    explicit Placer(const Schedule& schedule)
        : schedule_(schedule), placed_(size_t(schedule.ranks)) {}

    void place(int rank, const Action& action, const Span& span) {
        placed_[size_t(rank)].push_back({span.begin, action});
        if (action.runs_forward()) {
            const Chunk& from = action.chunk;
            pass_on(span.end, Payload::activation, from, {from.stage + 1, from.micro_batch});
        }
        if (action.runs_backward_input()) {
            const Chunk& from = action.backward_chunk();
            pass_on(span.end, Payload::gradient, from, {from.stage - 1, from.micro_batch});
        }
    }

    std::vector<std::vector<Action>> actions() {
        std::vector<std::vector<Action>> result(placed_.size());
        for (size_t rank = 0; rank < placed_.size(); ++rank) {
            std::ranges::stable_sort(placed_[rank], {}, &Placed::key);
            for (const Placed& placed : placed_[rank]) result[rank].push_back(placed.action);
        }
        return result;
    }

  private:
    void pass_on(double time, Payload payload, const Chunk& from, const Chunk& to) {
        if (to.stage < 0 || to.stage >= schedule_.stages) return;
        const int sender = schedule_.rank_of(from), receiver = schedule_.rank_of(to);
        if (sender == receiver) return;
        const auto message = [&](ActionKind kind, int peer) {
            return Action{.kind = kind, .chunk = from, .payload = payload, .peer = peer};
        };
        placed_[size_t(sender)].push_back({time, message(ActionKind::send, receiver)});
        placed_[size_t(receiver)].push_back({time, message(ActionKind::receive, sender)});
    }

    const Schedule& schedule_;
    std::vector<std::vector<Placed>> placed_;  // [ranks]
};

}  // namespace

void add_messages(Schedule& schedule) {
    const Timeline timeline = simulate(schedule, Timing());
    Placer placer(schedule);
    for (int rank = 0; rank < schedule.ranks; ++rank) {
        const std::vector<Action>& actions = schedule.actions[size_t(rank)];
        for (size_t i = 0; i < actions.size(); ++i) {
            placer.place(rank, actions[i], timeline.spans[size_t(rank)][i]);
        }
    }
    schedule.actions = placer.actions();
}

}  // namespace hadal::pipeline
