// Regular expressions: characters, classes, groups, alternation, repetition, as in ECMA 262 and
// Python. What looks around or back (assertions, references) is refused: no automaton decides it.
#pragma once

#include <string_view>

#include "grammar/expression.h"

namespace hadal::grammar {

/// The whole text must match; ^ at the front and $ at the end are allowed and change nothing.
/// Error(bad_input) names the place.
ExpressionPtr parse_regex(std::string_view pattern);

}  // namespace hadal::grammar
