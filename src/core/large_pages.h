// Memory that the kernel backs with 2 MiB pages where it can: one address translation, and one
// fault, for what needs 512 with pages of 4 KiB.
#pragma once

#include <cstddef>
#include <memory>

namespace hadal {

inline constexpr size_t kLargePage = size_t(2) << 20;

/// Uninitialized bytes on a cache line; large ones on a 2 MiB boundary, with large pages asked for.
std::shared_ptr<std::byte> allocate_bytes(size_t bytes);

/// Asks for large pages in memory that begins on their boundary. A wish: a kernel that refuses
/// serves small pages, and everything works as before.
void prefer_large_pages(void* memory, size_t bytes);

}  // namespace hadal
