#include "grammar/matcher.h"

#include <algorithm>
#include <set>

#include "core/error.h"

namespace hadal::grammar {

Matcher::Matcher(Automaton automaton) : automaton_(std::move(automaton)) {
    start_ = position_of({{automaton_.start, kBottom}});
}

int32_t Matcher::push(StateId target, int32_t parent) {
    // A call in last place returns to where its caller returns: stacks of lists stay flat.
    if (automaton_.states[size_t(target)].only_ends) return parent;
    const auto [found, is_new] = frame_ids_.emplace(Frame{target, parent}, int32_t(frames_.size()));
    if (is_new) frames_.push_back({target, parent});
    return found->second;
}

/// The position of these threads and of all that they reach without a byte.
Position Matcher::position_of(std::vector<Thread> open) {
    std::set<Thread> seen(open.begin(), open.end());
    std::vector<Thread> kept;
    bool may_end = false;
    const auto reach = [&](const Thread& thread) {
        if (seen.insert(thread).second) open.push_back(thread);
    };
    while (!open.empty()) {
        const Thread thread = open.back();
        open.pop_back();
        const State& state = automaton_.states[size_t(thread.state)];
        bool takes_bytes = false;
        for (const Edge& edge : state.edges) {
            switch (edge.kind) {
                case Edge::Kind::bytes:
                    takes_bytes = true;
                    break;
                case Edge::Kind::nothing:
                    reach({edge.target, thread.stack});
                    break;
                case Edge::Kind::call:
                    reach({edge.called, push(edge.target, thread.stack)});
                    break;
            }
        }
        if (takes_bytes) kept.push_back(thread);
        if (state.ends && thread.stack == kBottom) may_end = true;
        if (state.ends && thread.stack != kBottom) {
            const Frame frame = frames_[size_t(thread.stack)];
            reach({frame.target, frame.parent});
        }
        if (seen.size() > kMostThreads) {
            throw Error(Error::Kind::bad_input, concat("grammar: too ambiguous, more than ",
                                                       kMostThreads, " readings of one text"));
        }
    }
    if (kept.empty() && !may_end) return kDead;
    std::ranges::sort(kept);
    const auto [found, is_new] =
        position_ids_.emplace(std::pair(kept, may_end), Position(positions_.size()));
    if (is_new) {
        if (positions_.size() >= kMostPositions) {
            throw Error(Error::Kind::bad_input,
                        concat("grammar: more than ", kMostPositions, " positions"));
        }
        PositionData data{.threads = std::move(kept), .may_end = may_end, .next = {}};
        data.next.fill(kUnknown);
        positions_.push_back(std::move(data));
    }
    return found->second;
}

Position Matcher::next(Position position, uint8_t byte) {
    const Position known = positions_[size_t(position)].next[byte];
    return known != kUnknown ? known : compute_next(position, byte);
}

Position Matcher::compute_next(Position position, uint8_t byte) {
    std::vector<Thread> threads;
    for (const Thread& thread : positions_[size_t(position)].threads) {
        for (const Edge& edge : automaton_.states[size_t(thread.state)].edges) {
            if (edge.kind == Edge::Kind::bytes && edge.first <= byte && byte <= edge.last) {
                threads.push_back({edge.target, thread.stack});
            }
        }
    }
    const Position result = threads.empty() ? kDead : position_of(std::move(threads));
    positions_[size_t(position)].next[byte] = result;
    return result;
}

bool Matcher::must_end(Position position) {
    return positions_[size_t(position)].threads.empty();
}

}  // namespace hadal::grammar
