// Reads characters of a pattern one by one; what regular expressions and EBNF have in common.
#pragma once

#include <string_view>

#include "core/error.h"
#include "grammar/expression.h"
#include "text/unicode.h"

namespace hadal::grammar {

class PatternReader {
  public:
    /// `what` names the pattern in messages: "regex", "grammar".
    PatternReader(std::string_view pattern, std::string_view what)
        : pattern_(pattern), what_(what) {}

    bool at_end() const {
        return at_ >= pattern_.size();
    }
    /// The next character, 0 at the end.
    char32_t peek() const;
    char32_t take();
    /// Takes `expected` if it comes next.
    bool take_if(std::string_view expected);
    bool comes(std::string_view expected) const {
        return pattern_.substr(at_).starts_with(expected);
    }
    /// A whole number; Error(bad_input) if none comes or it is above `most`.
    int64_t number(int64_t most);
    /// Error(bad_input) with the place.
    [[noreturn]] void fail(std::string_view why) const;

    /// What follows a backslash inside or outside of a class: one character, or a class like \d.
    CharacterSet escape();
    /// A class, its opening bracket taken already: ranges, escapes, ^ for the complement.
    CharacterSet character_class();
    /// What may follow a part: * + ? {m} {m,} {m,n}; the part itself if nothing does. A lazy or
    /// greedy mark behind it changes no set of texts and is passed.
    ExpressionPtr repetition(ExpressionPtr part);

    /// Alternatives between bars, each read by branch(depth); `depth` counts the groups around
    /// them.
    template <class Branch>
    ExpressionPtr alternatives(int depth, const Branch& branch) {
        if (depth > kMostGroups) fail("has too many groups in each other");
        std::vector<ExpressionPtr> parts = {branch(depth)};
        while (take_if("|")) parts.push_back(branch(depth));
        return parts.size() == 1 ? parts[0] : choice(std::move(parts));
    }
    /// What stands in round brackets, the opening one taken already.
    template <class Branch>
    ExpressionPtr group(int depth, const Branch& branch) {
        ExpressionPtr inside = alternatives(depth + 1, branch);
        if (!take_if(")")) fail("has a ( without its )");
        return inside;
    }

  private:
    static constexpr int kMostGroups = 200;  // in each other

    char32_t hexadecimal(int digits);

    std::string_view pattern_;
    std::string_view what_;
    size_t at_ = 0;
};

}  // namespace hadal::grammar
