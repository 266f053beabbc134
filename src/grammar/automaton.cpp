#include "grammar/automaton.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <string>

#include "core/error.h"
#include "text/unicode.h"

namespace hadal::grammar {

namespace {

struct ByteRange {
    uint8_t first, last;
};
using ByteSequence = std::vector<ByteRange>;

std::string utf8(char32_t c) {
    std::string bytes;
    text::append_utf8(c, bytes);
    return bytes;
}

/// Code points first … last of one UTF-8 length as sequences of byte ranges. A range is cut until
/// all bytes behind the first that differs run over everything they can.
void add_sequences(char32_t first, char32_t last, std::vector<ByteSequence>& sequences) {
    const std::string a = utf8(first), b = utf8(last);
    for (size_t i = 1; i < a.size(); ++i) {
        const char32_t below = (char32_t(1) << 6 * i) - 1;  // what i trailing bytes hold
        if ((first & ~below) == (last & ~below)) continue;
        if ((first & below) != 0) {
            add_sequences(first, first | below, sequences);
            add_sequences((first | below) + 1, last, sequences);
            return;
        }
        if ((last & below) != below) {
            add_sequences(first, (last & ~below) - 1, sequences);
            add_sequences(last & ~below, last, sequences);
            return;
        }
    }
    ByteSequence sequence;
    for (size_t i = 0; i < a.size(); ++i) sequence.push_back({uint8_t(a[i]), uint8_t(b[i])});
    sequences.push_back(std::move(sequence));
}

std::vector<ByteSequence> byte_sequences(const CharacterSet& set) {
    constexpr std::array<char32_t, 5> kLengths = {0, 0x80, 0x800, 0x10000, 0x110000};
    std::vector<ByteSequence> sequences;
    for (const auto& [first, last] : set) {
        for (size_t i = 0; i + 1 < kLengths.size(); ++i) {
            const char32_t begin = std::max(first, kLengths[i]);
            const char32_t end = std::min(last, char32_t(kLengths[i + 1] - 1));
            if (begin <= end) add_sequences(begin, end, sequences);
        }
    }
    return sequences;
}

class Compiler {
  public:
    explicit Compiler(const Grammar& grammar) : grammar_(grammar) {}

    Automaton run() {
        for (const auto& [name, body] : grammar_.rules) {
            if (!starts_.emplace(name, add_state()).second)
                fail("the rule '", name, "' exists twice");
        }
        if (grammar_.rules.empty()) fail("the grammar has no rule");
        for (const auto& [name, body] : grammar_.rules) {
            const StateId end = add(*body, starts_.at(name), 0);
            automaton_.states[size_t(end)].ends = true;
        }
        automaton_.start = starts_.at(grammar_.rules.front().first);
        refuse_left_recursion();
        mark_ends();
        return std::move(automaton_);
    }

  private:
    static constexpr int kMostDepth = 1000;  // of expressions in each other

    template <class... Parts>
    [[noreturn]] static void fail(const Parts&... parts) {
        throw Error(Error::Kind::bad_input, concat("grammar: ", parts...));
    }

    StateId add_state() {
        if (int64_t(automaton_.states.size()) >= kMostStates) {
            fail("too large, more than ", kMostStates, " states (fewer or smaller repetitions)");
        }
        automaton_.states.emplace_back();
        return StateId(automaton_.states.size() - 1);
    }
    void add_edge(StateId from, const Edge& edge) {
        automaton_.states[size_t(from)].edges.push_back(edge);
    }
    void join(StateId from, StateId to) {
        add_edge(from, {.kind = Edge::Kind::nothing, .target = to});
    }

    StateId add_bytes(StateId from, std::span<const ByteRange> ranges) {
        for (const ByteRange& range : ranges) {
            const StateId to = add_state();
            add_edge(from, {Edge::Kind::bytes, range.first, range.last, to});
            from = to;
        }
        return from;
    }

    /// Adds what leads from state `from` through the expression; the state behind it.
    StateId add(const Expression& expression, StateId from, int depth) {
        if (depth > kMostDepth)
            fail("expressions lie more than ", kMostDepth, " deep in each other");
        switch (expression.kind) {
            case Expression::Kind::text: {
                ByteSequence bytes;
                for (const char c : expression.text) bytes.push_back({uint8_t(c), uint8_t(c)});
                return add_bytes(from, bytes);
            }
            case Expression::Kind::characters: {
                const StateId end = add_state();
                for (const ByteSequence& bytes : byte_sequences(expression.characters)) {
                    const StateId last = add_bytes(from, std::span(bytes).first(bytes.size() - 1));
                    add_edge(last, {Edge::Kind::bytes, bytes.back().first, bytes.back().last, end});
                }
                return end;
            }
            case Expression::Kind::sequence:
                for (const ExpressionPtr& part : expression.parts) {
                    from = add(*part, from, depth + 1);
                }
                return from;
            case Expression::Kind::choice: {
                const StateId end = add_state();
                for (const ExpressionPtr& part : expression.parts) {
                    const StateId begin = add_state();
                    join(from, begin);
                    join(add(*part, begin, depth + 1), end);
                }
                return end;
            }
            case Expression::Kind::repeat:
                return add_repeat(expression, from, depth);
            case Expression::Kind::rule: {
                const auto called = starts_.find(expression.rule);
                if (called == starts_.end()) fail("there is no rule '", expression.rule, "'");
                const StateId end = add_state();
                add_edge(from, {.kind = Edge::Kind::call, .target = end, .called = called->second});
                return end;
            }
        }
        return from;
    }

    StateId add_repeat(const Expression& expression, StateId from, int depth) {
        const Expression& part = *expression.parts[0];
        for (int64_t i = 0; i < expression.least; ++i) from = add(part, from, depth + 1);
        const StateId end = add_state();
        if (expression.most == kUnbounded) {
            const StateId begin = add_state();
            join(from, begin);
            join(begin, end);
            join(add(part, begin, depth + 1), begin);
            return end;
        }
        for (int64_t i = expression.least; i < expression.most; ++i) {
            join(from, end);
            const StateId begin = add_state();
            join(from, begin);
            from = add(part, begin, depth + 1);
        }
        join(from, end);
        return end;
    }

    /// States that a rule can be in before it has taken a byte; calls of rules that can be empty
    /// are passed.
    std::set<StateId> before_any_byte(StateId start, const std::set<StateId>& empty_rules) const {
        std::set<StateId> seen = {start};
        std::vector<StateId> open = {start};
        while (!open.empty()) {
            const StateId state = open.back();
            open.pop_back();
            for (const Edge& edge : automaton_.states[size_t(state)].edges) {
                const bool passes =
                    edge.kind == Edge::Kind::nothing ||
                    (edge.kind == Edge::Kind::call && empty_rules.contains(edge.called));
                if (passes && seen.insert(edge.target).second) open.push_back(edge.target);
            }
        }
        return seen;
    }

    void refuse_left_recursion() const {
        std::set<StateId> empty_rules;  // rules that match the empty text, by their start
        for (bool grew = true; grew;) {
            grew = false;
            for (const auto& [name, start] : starts_) {
                const auto states = before_any_byte(start, empty_rules);
                const bool can_end = std::ranges::any_of(
                    states, [&](StateId state) { return automaton_.states[size_t(state)].ends; });
                if (can_end && empty_rules.insert(start).second) grew = true;
            }
        }
        std::map<StateId, std::set<StateId>> calls;  // before any byte
        for (const auto& [name, start] : starts_) {
            for (const StateId state : before_any_byte(start, empty_rules)) {
                for (const Edge& edge : automaton_.states[size_t(state)].edges) {
                    if (edge.kind == Edge::Kind::call) calls[start].insert(edge.called);
                }
            }
        }
        for (const auto& [name, start] : starts_) {
            std::set<StateId> seen;
            std::vector<StateId> open = {start};
            while (!open.empty()) {
                const StateId rule = open.back();
                open.pop_back();
                for (const StateId called : calls[rule]) {
                    if (called == start) {
                        fail("the rule '", name,
                             "' begins with itself (write the repetition with *)");
                    }
                    if (seen.insert(called).second) open.push_back(called);
                }
            }
        }
    }

    /// From the ends backwards: a state whose every edge leads to the end without a byte.
    void mark_ends() {
        std::vector<std::vector<StateId>> before(automaton_.states.size());
        std::vector<size_t> others(automaton_.states.size());  // edges not known to lead to the end
        std::vector<StateId> open;
        for (size_t s = 0; s < automaton_.states.size(); ++s) {
            const State& state = automaton_.states[s];
            others[s] = state.edges.size();
            for (const Edge& edge : state.edges) {
                if (edge.kind == Edge::Kind::nothing) {
                    before[size_t(edge.target)].push_back(StateId(s));
                }
            }
            if (state.ends && state.edges.empty()) open.push_back(StateId(s));
        }
        while (!open.empty()) {
            const StateId state = open.back();
            open.pop_back();
            automaton_.states[size_t(state)].only_ends = true;
            for (const StateId source : before[size_t(state)]) {
                if (--others[size_t(source)] == 0) open.push_back(source);
            }
        }
    }

    const Grammar& grammar_;
    Automaton automaton_;
    std::map<std::string, StateId, std::less<>> starts_;
};

}  // namespace

Automaton compile(const Grammar& grammar) {
    return Compiler(grammar).run();
}

}  // namespace hadal::grammar
