// How often each piece occurs in a corpus: the first step of learning merges.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "core/thread_pool.h"
#include "text/pretokenizer.h"

namespace hadal::text {

struct PieceCount {
    std::string_view piece;  // into the documents
    int64_t count;
};

/// All distinct pieces of `documents`, in byte order: the same for any number of threads.
std::vector<PieceCount> count_pieces(ThreadPool& threads, const Pretokenizer& pretokenizer,
                                     std::span<const std::string_view> documents);

}  // namespace hadal::text
