#include "infer/page_pool.h"

#include "core/error.h"

namespace hadal::infer {

PagePool::PagePool(int64_t pages) : holders_(size_t(pages), 0), kept_(size_t(pages), false) {
    for (int64_t page = pages - 1; page >= 0; --page) free_.push_back(PageId(page));
}

void PagePool::count(PageId page, int32_t change) {
    idle_ -= is_idle(page) ? 1 : 0;
    holders_[size_t(page)] += change;
    idle_ += is_idle(page) ? 1 : 0;
    if (holders(page) == 0) free_.push_back(page);
}

PageId PagePool::take() {
    if (free_.empty()) return kNoPage;
    const PageId page = free_.back();
    free_.pop_back();
    holders_[size_t(page)] = 1;
    return page;
}

void PagePool::hold(PageId page) {
    HADAL_ASSERT(holders(page) > 0);
    count(page, 1);
}

void PagePool::drop(PageId page) {
    HADAL_ASSERT(holders(page) > (kept_[size_t(page)] ? 1 : 0));
    count(page, -1);
}

void PagePool::keep(PageId page) {
    HADAL_ASSERT(!kept_[size_t(page)]);
    hold(page);
    kept_[size_t(page)] = true;
}

void PagePool::give_up(PageId page) {
    HADAL_ASSERT(kept_[size_t(page)]);
    idle_ -= is_idle(page) ? 1 : 0;
    kept_[size_t(page)] = false;
    drop(page);
}

}  // namespace hadal::infer
