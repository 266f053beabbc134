// The source of a template → its tree: the part of Jinja2 that chat templates are written in.
#pragma once

#include <string_view>

#include "chat/jinja_nodes.h"

namespace hadal::chat::jinja {

/// Error(bad_input) names the line: what is not Jinja, or a part of it that is not here (include,
/// extends, import, call blocks).
Block parse(std::string_view source);

}  // namespace hadal::chat::jinja
