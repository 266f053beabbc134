// The pages of the latent cache as numbers: which are free, and how many holders the others have.
// docs/engine.md. Knows nothing of their memory (latent_cache.h).
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hadal::infer {

using PageId = int32_t;
inline constexpr PageId kNoPage = -1;
/// Positions of a page; a divisor of the key blocks of ops/attention_latent.
inline constexpr int64_t kPageTokens = 64;

/// Pages that hold `tokens` positions.
constexpr int64_t pages_for(int64_t tokens) {
    return (tokens + kPageTokens - 1) / kPageTokens;
}

class PagePool {
  public:
    explicit PagePool(int64_t pages);

    /// A free page, which then has one holder; kNoPage if there is none. The page given back last
    /// is taken first: its memory is the likeliest to be in a cache.
    PageId take();
    /// One holder more.
    void hold(PageId page);
    /// One holder less; the page is free when none is left.
    void drop(PageId page);

    /// The same for the one holder that would give the page up for somebody else: the prefix tree.
    void keep(PageId page);
    void give_up(PageId page);

    int32_t holders(PageId page) const {
        return holders_[size_t(page)];
    }
    bool is_idle(PageId page) const {
        return kept_[size_t(page)] && holders(page) == 1;
    }
    int64_t size() const {
        return int64_t(holders_.size());
    }
    int64_t free_pages() const {
        return int64_t(free_.size());
    }
    /// Pages that nobody holds but the prefix tree.
    int64_t idle_pages() const {
        return idle_;
    }

  private:
    void count(PageId page, int32_t change);

    std::vector<int32_t> holders_;
    std::vector<bool> kept_;
    int64_t idle_ = 0;
    std::vector<PageId> free_;  // the next one to take is last
};

}  // namespace hadal::infer
