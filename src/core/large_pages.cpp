#include "core/large_pages.h"

#include <sys/mman.h>

#include <new>

namespace hadal {

std::shared_ptr<std::byte> allocate_bytes(size_t bytes) {
    constexpr size_t kLine = 64;  // of the cache; one AVX-512 register
    // Smaller ones would waste much of their last page, or not hold a whole one.
    const bool large = bytes >= 2 * kLargePage;
    const std::align_val_t alignment{large ? kLargePage : kLine};
    auto* memory = static_cast<std::byte*>(::operator new(bytes, alignment));
    // The last, partial page stays small, so that resident memory is what was asked for.
    if (large) prefer_large_pages(memory, bytes / kLargePage * kLargePage);
    return {memory, [alignment](std::byte* p) { ::operator delete(p, alignment); }};
}

void prefer_large_pages([[maybe_unused]] void* memory, [[maybe_unused]] size_t bytes) {
#if defined(MADV_HUGEPAGE)
    madvise(memory, bytes, MADV_HUGEPAGE);
#endif
}

}  // namespace hadal
