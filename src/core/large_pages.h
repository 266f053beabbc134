// Memory that the kernel backs with 2 MiB pages where it can: one address translation, and one
// fault, for what needs 512 with pages of 4 KiB.
#pragma once

#include <cstddef>
#include <memory>

namespace hadal {

/// Uninitialized bytes on a cache line; large ones on a 2 MiB boundary, with large pages asked for.
std::shared_ptr<std::byte> allocate_bytes(size_t bytes);

}  // namespace hadal
