// Grammars in the notation that llama.cpp's users know as GBNF, an EBNF with regular-expression
// operators:
//     root   ::= "yes" | "no" reason{1,3}     # a comment
//     reason ::= " because " [a-z ]+ "."
// Strings and classes take the escapes of regular expressions. A rule ends where the next begins.
#pragma once

#include <string_view>

#include "grammar/expression.h"

namespace hadal::grammar {

/// The text begins with the rule `root`. Error(bad_input) names the place.
Grammar parse_ebnf(std::string_view source);

}  // namespace hadal::grammar
