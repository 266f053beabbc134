// What texts a grammar allows, as a tree: the common form that regular expressions, JSON schemas
// and EBNF are read into, and that automaton.h compiles.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace hadal::grammar {

/// Unicode code points, as ranges with both ends inside.
using CharacterSet = std::vector<std::pair<char32_t, char32_t>>;
/// Every code point that is not in the set; surrogates are none.
CharacterSet complement(CharacterSet set);

struct Expression;
using ExpressionPtr = std::shared_ptr<const Expression>;

inline constexpr int64_t kUnbounded = -1;

struct Expression {
    enum class Kind { text, characters, sequence, choice, repeat, rule };
    Kind kind;
    std::string text = {};                  // text: these bytes
    CharacterSet characters = {};           // characters: one of these, in UTF-8
    std::vector<ExpressionPtr> parts = {};  // sequence, choice; repeat: one
    int64_t least = 0, most = 0;            // repeat: so many times; most may be kUnbounded
    std::string rule = {};                  // rule: by its name
};

ExpressionPtr text(std::string_view bytes);
ExpressionPtr characters(CharacterSet set);
ExpressionPtr sequence(std::vector<ExpressionPtr> parts);
ExpressionPtr choice(std::vector<ExpressionPtr> parts);
ExpressionPtr repeat(ExpressionPtr part, int64_t least, int64_t most);
ExpressionPtr optional(ExpressionPtr part);
ExpressionPtr rule(std::string_view name);

/// Named rules; the first one is where a text begins.
struct Grammar {
    std::vector<std::pair<std::string, ExpressionPtr>> rules;
};

}  // namespace hadal::grammar
