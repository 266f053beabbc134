// A grammar compiled to bytes: a network of states for every rule, with calls from one rule's
// network into another's (Woods 1970). matcher.h runs it.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "grammar/expression.h"

namespace hadal::grammar {

using StateId = int32_t;

struct Edge {
    enum class Kind : uint8_t { bytes, nothing, call };
    Kind kind;
    uint8_t first = 0, last = 0;  // bytes: any from first to last
    StateId target;               // where it leads; call: after the rule
    StateId called = -1;          // call: where the rule begins
};

struct State {
    std::vector<Edge> edges;
    bool ends = false;       // of its rule
    bool only_ends = false;  // nothing but the rule's end can follow
};

struct Automaton {
    std::vector<State> states;
    StateId start = 0;
};

/// Error(bad_input): a rule that does not exist or exists twice, one that calls itself before it
/// takes a byte (no text could decide it), or a grammar of more than kMostStates states.
Automaton compile(const Grammar& grammar);

inline constexpr int64_t kMostStates = 200'000;

}  // namespace hadal::grammar
