// What templates find without defining it: filters, tests, methods of values, functions.
#pragma once

#include <string>

#include "chat/jinja_nodes.h"
#include "chat/jinja_value.h"

namespace hadal::chat::jinja {

/// value | name(arguments). Error(bad_input) for a filter that is not known.
Value apply_filter(const std::string& name, const Value& value, const Arguments& arguments);
/// value is name(arguments).
bool apply_test(const std::string& name, const Value& value, const Arguments& arguments);
/// The method `name` of a value, bound to it; undefined if it has none.
Value method_of(const Value& value, const std::string& name);
/// range, namespace, dict, raise_exception, strftime_now.
void add_functions(Scope& globals);

/// object.name, object[index]: a key first, then a method; undefined if there is neither.
Value member_of(const Value& object, const Value& index);

}  // namespace hadal::chat::jinja
