// For messages about a name that nobody knows: which known one was meant.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace hadal {

/// The known name with the fewest inserted, deleted, replaced or swapped characters; "" if `known`
/// is empty or nothing is near enough to be meant.
std::string nearest_name(std::string_view name, std::span<const std::string> known);

/// ", did you mean 'layers'?" or "".
std::string did_you_mean(std::string_view name, std::span<const std::string> known);

}  // namespace hadal
