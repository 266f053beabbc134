#include "pipeline/check.h"

#include <set>
#include <tuple>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

std::string text(const Chunk& chunk) {
    return concat("stage ", chunk.stage, ", micro-batch ", chunk.micro_batch);
}

class Checker {
  public:
    explicit Checker(const Schedule& schedule) : schedule_(schedule) {}

    std::vector<std::string> run() {
        if (schedule_.actions.size() != size_t(schedule_.ranks)) {
            return {concat(schedule_.actions.size(), " lists for ", schedule_.ranks, " ranks")};
        }
        for (rank_ = 0; rank_ < schedule_.ranks; ++rank_) walk();
        everything_ran();
        if (problems_.empty()) rendezvous();
        return std::move(problems_);
    }

  private:
    using Message = std::tuple<Payload, Chunk>;

    void complain(const std::string& what) {
        problems_.push_back(concat("rank ", rank_, ": ", what));
    }
    bool exists(const Chunk& chunk) const {
        return chunk.stage >= 0 && chunk.stage < schedule_.stages && chunk.micro_batch >= 0 &&
               chunk.micro_batch < schedule_.micro_batches;
    }
    /// Notes that a part of a chunk runs here and now.
    void once(std::set<Chunk>& done, const Chunk& chunk, const char* part) {
        if (!exists(chunk)) return complain(concat(part, " of no such chunk: ", text(chunk)));
        if (schedule_.rank_of(chunk) != rank_) {
            complain(concat(part, " of another rank's ", text(chunk)));
        }
        if (!done.insert(chunk).second) complain(concat(part, " a second time: ", text(chunk)));
    }

    /// One rank's list, in its order: is everything there when it is needed?
    void walk() {
        received_.clear();
        for (const Action& action : schedule_.actions[size_t(rank_)]) {
            if (action.is_message()) {
                message(action);
                continue;
            }
            // Both halves of a pair need their inputs before either runs.
            if (action.runs_forward()) need_before_forward(action.chunk);
            if (action.runs_backward_input()) need_before_backward(action.backward_chunk());
            if (action.runs_forward()) once(forwards_, action.chunk, "forward");
            const Chunk& back = action.backward_chunk();
            if (action.runs_backward_input()) once(gradients_, back, "input gradient");
            if (action.runs_backward_weight()) {
                if (!gradients_.contains(back)) {
                    complain(concat("weight gradient before input gradient: ", text(back)));
                }
                once(weights_, back, "weight gradient");
            }
        }
    }

    void need_before_forward(const Chunk& chunk) {
        const Chunk from = {chunk.stage - 1, chunk.micro_batch};
        if (from.stage >= 0) need(forwards_, Payload::activation, from, chunk);
    }
    void need_before_backward(const Chunk& chunk) {
        if (!forwards_.contains(chunk)) {
            complain(concat("backward before forward: ", text(chunk)));
        }
        const Chunk from = {chunk.stage + 1, chunk.micro_batch};
        if (from.stage < schedule_.stages) need(gradients_, Payload::gradient, from, chunk);
    }
    void need(const std::set<Chunk>& made, Payload payload, const Chunk& from, const Chunk& to) {
        const bool here = exists(from) && schedule_.rank_of(from) == rank_;
        if (here ? made.contains(from) : received_.contains({payload, from})) return;
        complain(concat(payload == Payload::activation ? "activation" : "gradient", " of ",
                        text(from), " is not here for ", text(to)));
    }

    void message(const Action& action) {
        const bool activation = action.payload == Payload::activation;
        const Chunk to = {action.chunk.stage + (activation ? 1 : -1), action.chunk.micro_batch};
        if (!exists(action.chunk) || !exists(to)) {
            return complain(concat("message that nobody needs, of ", text(action.chunk)));
        }
        const bool send = action.kind == ActionKind::send;
        const int here = schedule_.rank_of(send ? action.chunk : to);
        const int there = schedule_.rank_of(send ? to : action.chunk);
        if (here != rank_ || there != action.peer || here == there) {
            complain(concat("message between the wrong ranks, of ", text(action.chunk)));
        }
        if (send && !(activation ? forwards_ : gradients_).contains(action.chunk)) {
            complain(concat("send before it is made: ", text(action.chunk)));
        }
        if (!(send ? sent_ : received_).emplace(action.payload, action.chunk).second) {
            complain(concat("message a second time, of ", text(action.chunk)));
        }
        if (!send) ++num_received_;
    }

    void everything_ran() {
        const size_t chunks = size_t(schedule_.stages) * size_t(schedule_.micro_batches);
        for (const auto& [done, part] : {std::pair{&forwards_, "forwards"},
                                         {&gradients_, "input gradients"},
                                         {&weights_, "weight gradients"}}) {
            if (done->size() != chunks) {
                problems_.push_back(concat(done->size(), " ", part, " of ", chunks, " chunks"));
            }
        }
        if (sent_.size() != num_received_) {
            problems_.push_back(
                concat(sent_.size(), " messages sent, ", num_received_, " received"));
        }
    }

    /// Runs the lists with sends and receives that wait for each other.
    void rendezvous() {
        std::vector<size_t> next(schedule_.actions.size(), 0);
        const auto at = [&](int rank) -> const Action* {
            const auto& actions = schedule_.actions[size_t(rank)];
            return next[size_t(rank)] < actions.size() ? &actions[next[size_t(rank)]] : nullptr;
        };
        const auto step = [&](int rank) {
            const Action* action = at(rank);
            if (action == nullptr) return false;
            if (action->is_message()) {
                const Action* other = at(action->peer);
                if (other == nullptr || !other->is_message() || other->kind == action->kind ||
                    other->peer != rank || other->payload != action->payload ||
                    other->chunk != action->chunk) {
                    return false;
                }
                ++next[size_t(action->peer)];
            }
            ++next[size_t(rank)];
            return true;
        };
        for (bool moved = true; moved;) {
            moved = false;
            for (int rank = 0; rank < schedule_.ranks; ++rank) {
                while (step(rank)) moved = true;
            }
        }
        for (rank_ = 0; rank_ < schedule_.ranks; ++rank_) {
            if (at(rank_) != nullptr) {
                complain(concat("waits for ever at action ", next[size_t(rank_)]));
            }
        }
    }

    const Schedule& schedule_;
    int rank_ = 0;
    std::set<Chunk> forwards_, gradients_, weights_;  // done, on any rank
    std::set<Message> sent_;                          // by any rank
    std::set<Message> received_;                      // by this rank
    size_t num_received_ = 0;                         // by any rank
    std::vector<std::string> problems_;
};

}  // namespace

std::vector<std::string> problems(const Schedule& schedule) {
    return Checker(schedule).run();
}

}  // namespace hadal::pipeline
