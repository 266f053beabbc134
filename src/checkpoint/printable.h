// A name that came out of a file, made fit for a one-line message.
#pragma once

#include <string>
#include <string_view>

namespace hadal::checkpoint {

/// 'name', with control characters as \xNN and cut where it is longer than any honest name.
std::string printable(std::string_view name);

}  // namespace hadal::checkpoint
