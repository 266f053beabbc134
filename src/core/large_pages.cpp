#include "core/large_pages.h"

#include <sys/mman.h>

#include <new>

namespace hadal {

std::shared_ptr<std::byte> allocate_bytes(size_t bytes) {
    constexpr size_t kLine = 64;  // of the cache; one AVX-512 register
    constexpr size_t kLargePage = size_t(2) << 20;
    // Smaller ones would waste much of their last page, or not hold a whole one.
    const bool large = bytes >= 2 * kLargePage;
    const std::align_val_t alignment{large ? kLargePage : kLine};
    auto* memory = static_cast<std::byte*>(::operator new(bytes, alignment));
#if defined(MADV_HUGEPAGE)
    // A wish: a kernel that refuses serves small pages, and everything works as before. The last,
    // partial page stays small, so that resident memory is what was asked for.
    if (large) madvise(memory, bytes / kLargePage * kLargePage, MADV_HUGEPAGE);
#endif
    return {memory, [alignment](std::byte* p) { ::operator delete(p, alignment); }};
}

}  // namespace hadal
