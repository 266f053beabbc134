// The limit of everything that reads its weights once per token.
#pragma once

#include "core/context.h"

namespace hadal::cli {

/// GB/s of all threads reading a buffer far larger than the caches, over and over for about a
/// second.
double read_bandwidth(Context& context);

}  // namespace hadal::cli
