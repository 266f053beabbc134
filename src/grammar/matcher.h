// Runs an automaton byte by byte. A position is everything the grammar could be at: a set of
// (state, stack of returns). Positions are numbered when they are first met, and the step from one
// to the next is looked up afterwards: inside a string of JSON, say, every byte leads back to the
// same one.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <vector>

#include "grammar/automaton.h"

namespace hadal::grammar {

/// A position of a matcher. Numbers mean nothing to another matcher.
using Position = int32_t;
inline constexpr Position kDead = -1;  // no text that begins like this is allowed

class Matcher {
  public:
    explicit Matcher(Automaton automaton);

    Position start() const {
        return start_;
    }
    /// Error(bad_input) if the grammar is so ambiguous that a position has more than kMostThreads
    /// threads, or that there are more than kMostPositions.
    Position next(Position position, uint8_t byte);
    /// Whether the text may end here.
    bool may_end(Position position) const {
        return positions_[size_t(position)].may_end;
    }
    /// Whether it must, because no byte can follow.
    bool must_end(Position position);

    static constexpr size_t kMostThreads = 4096;
    static constexpr size_t kMostPositions = 50'000;

  private:
    static constexpr Position kUnknown = -2;
    static constexpr int32_t kBottom = -1;

    struct Thread {
        StateId state;
        int32_t stack;  // of frames_, or kBottom
        auto operator<=>(const Thread&) const = default;
    };
    struct Frame {
        StateId target;
        int32_t parent;
        auto operator<=>(const Frame&) const = default;
    };
    struct PositionData {
        std::vector<Thread> threads;  // those with edges that take a byte
        bool may_end = false;
        std::array<Position, 256> next;
    };

    int32_t push(StateId target, int32_t parent);
    Position position_of(std::vector<Thread> threads);
    Position compute_next(Position position, uint8_t byte);

    Automaton automaton_;
    std::vector<Frame> frames_;
    std::map<Frame, int32_t> frame_ids_;
    std::vector<PositionData> positions_;
    std::map<std::pair<std::vector<Thread>, bool>, Position> position_ids_;
    Position start_;
};

}  // namespace hadal::grammar
