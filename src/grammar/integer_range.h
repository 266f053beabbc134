// The decimal texts of the integers between two bounds.
#pragma once

#include <cstdint>
#include <optional>

#include "grammar/expression.h"

namespace hadal::grammar {

/// Bounds may not lie beyond this: what a double holds exactly.
inline constexpr int64_t kLargestInteger = int64_t(1) << 53;

/// Without leading zeros, without "-0". An absent bound is none; least ≤ most.
ExpressionPtr integer_range(std::optional<int64_t> least, std::optional<int64_t> most);

}  // namespace hadal::grammar
