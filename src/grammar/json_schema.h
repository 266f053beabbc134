// JSON texts, any or those of a JSON schema (draft 2020-12), as a grammar.
//
// Understood: type (one or several), enum, const, properties, required, additionalProperties,
// items, prefixItems, minItems, maxItems, minLength, maxLength, pattern, minimum, maximum and their
// exclusive forms of integers, anyOf, oneOf (as anyOf), allOf of one, $ref to the schema itself,
// $defs and definitions. Annotations (title, description, default, examples, …) are passed over;
// any other keyword is an error, because ignoring it would promise what is not kept.
//
// Choices that a schema leaves open: an object's properties come in the order of `properties`,
// then, unless additionalProperties forbids it by false or by its absence beside `properties`,
// others. Between the parts of a text there may be white space, up to kMostSpaces characters, so
// that no text can grow without end by it.
#pragma once

#include <string_view>

#include "grammar/expression.h"

namespace hadal::grammar {

inline constexpr int64_t kMostSpaces = 20;

/// Any JSON object (OpenAI's response_format json_object).
Grammar json_object_grammar();

/// `schema` is its text. Error(corrupt_file) if it is no JSON; Error(bad_input) names the place in
/// the schema and what is wrong with it, and refuses schemas that are deeper than 64 or larger than
/// 10 000 parts.
Grammar json_schema_grammar(std::string_view schema);

}  // namespace hadal::grammar
