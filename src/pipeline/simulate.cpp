#include "pipeline/simulate.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

constexpr double kNotYet = -1;

class Simulator {
  public:
    Simulator(const Schedule& schedule, const Timing& timing)
        : schedule_(schedule),
          timing_(timing),
          next_(size_t(schedule.ranks), 0),
          free_at_(size_t(schedule.ranks), 0.0),
          forward_end_(size_t(schedule.stages) * size_t(schedule.micro_batches), kNotYet),
          gradient_end_(forward_end_) {
        for (const std::vector<Action>& actions : schedule.actions) {
            timeline_.spans.emplace_back(actions.size());
        }
    }

    Timeline run() {
        // Each round lets every rank go as far as it can; the order of the ranks changes nothing.
        for (bool moved = true; moved;) {
            moved = false;
            for (int rank = 0; rank < schedule_.ranks; ++rank) moved |= advance(rank);
        }
        for (int rank = 0; rank < schedule_.ranks; ++rank) {
            if (next_[size_t(rank)] < schedule_.actions[size_t(rank)].size()) {
                throw Error(Error::Kind::internal,
                            concat("schedule ", schedule_.name, ": rank ", rank,
                                   " waits for ever at action ", next_[size_t(rank)]));
            }
        }
        place_messages();
        sum_up();
        return std::move(timeline_);
    }

  private:
    double& at(std::vector<double>& ends, const Chunk& chunk) const {
        return ends[size_t(chunk.stage) * size_t(schedule_.micro_batches) +
                    size_t(chunk.micro_batch)];
    }

    /// When a result that `from` made reaches the rank of `to`; kNotYet if it is not made yet.
    double arrival(std::vector<double>& ends, const Chunk& from, const Chunk& to) const {
        const double end = at(ends, from);
        const bool same_rank = schedule_.rank_of(from) == schedule_.rank_of(to);
        return end == kNotYet || same_rank ? end : end + timing_.message;
    }

    /// When everything that `action` needs is there; kNotYet if something is not.
    double inputs_ready(const Action& action) {
        double ready = 0;
        const auto need = [&ready](double time) {
            ready = ready == kNotYet || time == kNotYet ? kNotYet : std::max(ready, time);
        };
        if (action.runs_forward() && action.chunk.stage > 0) {
            const Chunk before = {action.chunk.stage - 1, action.chunk.micro_batch};
            need(arrival(forward_end_, before, action.chunk));
        }
        const Chunk& back = action.backward_chunk();
        if (action.runs_backward_input()) {
            need(at(forward_end_, back));
            if (back.stage + 1 < schedule_.stages) {
                need(arrival(gradient_end_, {back.stage + 1, back.micro_batch}, back));
            }
        } else if (action.runs_backward_weight()) {
            need(at(gradient_end_, back));
        }
        return ready;
    }

    bool advance(int rank) {
        const std::vector<Action>& actions = schedule_.actions[size_t(rank)];
        size_t& i = next_[size_t(rank)];
        const size_t first = i;
        for (; i < actions.size(); ++i) {
            const Action& action = actions[i];
            if (action.is_message()) continue;
            const double ready = inputs_ready(action);
            if (ready == kNotYet) break;
            const double begin = std::max(ready, free_at_[size_t(rank)]);
            const double end = begin + timing_.duration(action);
            timeline_.spans[size_t(rank)][i] = {begin, end};
            free_at_[size_t(rank)] = end;
            if (action.runs_forward()) at(forward_end_, action.chunk) = end;
            if (action.runs_backward_input()) at(gradient_end_, action.backward_chunk()) = end;
        }
        return i > first;
    }

    void place_messages() {
        for (size_t rank = 0; rank < schedule_.actions.size(); ++rank) {
            for (size_t i = 0; i < schedule_.actions[rank].size(); ++i) {
                const Action& action = schedule_.actions[rank][i];
                if (!action.is_message()) continue;
                const bool forward = action.payload == Payload::activation;
                const double sent = at(forward ? forward_end_ : gradient_end_, action.chunk);
                timeline_.spans[rank][i] = {sent, sent + timing_.message};
            }
        }
    }

    void sum_up() {
        for (const double end : free_at_) timeline_.makespan = std::max(timeline_.makespan, end);
        for (size_t rank = 0; rank < schedule_.actions.size(); ++rank) {
            double busy = 0;
            int live = 0, peak = 0;
            for (const Action& action : schedule_.actions[rank]) {
                if (action.is_message()) continue;
                const double duration = timing_.duration(action);
                busy += duration;
                double& shortest = timeline_.shortest;
                if (duration > 0) shortest = shortest > 0 ? std::min(shortest, duration) : duration;
                if (action.runs_forward()) peak = std::max(peak, ++live);
                if (action.runs_backward_weight()) --live;
            }
            timeline_.busy.push_back(busy);
            timeline_.idle.push_back(timeline_.makespan - busy);
            timeline_.peak_activations.push_back(peak);
        }
    }

    const Schedule& schedule_;
    const Timing& timing_;
    std::vector<size_t> next_;          // [ranks] first action that has not run
    std::vector<double> free_at_;       // [ranks]
    std::vector<double> forward_end_;   // [stages · micro_batches]
    std::vector<double> gradient_end_;  // [stages · micro_batches]
    Timeline timeline_;
};

}  // namespace

Timeline simulate(const Schedule& schedule, const Timing& timing) {
    check_timing(timing, schedule.stages);
    return Simulator(schedule, timing).run();
}

}  // namespace hadal::pipeline
