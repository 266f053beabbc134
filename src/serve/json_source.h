// Pieces of a JSON text as they were written: the order of members matters to schemas and to
// prompts, and a parsed object has lost it.
#pragma once

#include <string_view>

namespace hadal::serve {

/// The text of an object's member; empty if it has none of that name, or writes the name with
/// escapes. `object` must be valid JSON.
std::string_view member_source(std::string_view object, std::string_view name);

}  // namespace hadal::serve
