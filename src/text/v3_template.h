// DeepSeek-V3's chat format with its tool calls, for models that are trained here and for those
// that carry no template (report's release; several system messages are joined by an empty line).
#pragma once

#include <string_view>

namespace hadal::text {

/// Jinja.
std::string_view v3_template();

}  // namespace hadal::text
