// One sequence that the engine runs: its tokens, and what of them is cached.
#pragma once

#include <cstdint>
#include <vector>

#include "infer/page_pool.h"

namespace hadal::infer {

struct Sequence {
    uint64_t id = 0;
    int priority = 0;             // higher runs first
    std::vector<int32_t> tokens;  // the prompt, then what was generated
    int64_t most_tokens = 0;      // it will never have more
    std::vector<int32_t> drafts;  // guesses of what follows, checked by the next step
    uint64_t domain = 0;          // see PrefixTree::find
    bool reuse_prefix = true;     // whether cached rows may stand for rows of this sequence
    int64_t expanded = 0;         // positions below attend in expanded form; whole pages

    // The scheduler's.
    uint64_t arrival = 0;       // order of submission; kept when it is preempted
    std::vector<PageId> pages;  // of positions 0 …
    int64_t cached = 0;         // positions whose rows are in the pages
    int64_t reused = 0;         // of them, found in the prefix tree when it was admitted last

    /// Tokens whose rows are not cached; 1 when it waits for its next token.
    int64_t remaining() const {
        return int64_t(tokens.size()) - cached;
    }
};

}  // namespace hadal::infer
