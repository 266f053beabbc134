// Learns byte-level BPE merges from text cut by DeepSeek-V3's pre-tokenizer.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

#include "core/progress.h"
#include "core/thread_pool.h"
#include "text/tokenizer.h"

namespace hadal::text {

struct BpeTrainOptions {
    int64_t vocab_size = 32768;                              // control tokens and bytes included
    int64_t min_frequency = 2;                               // a pair seen less often is not merged
    ProgressCallback on_progress = [](int64_t, int64_t) {};  // merges
};

/// The most frequent pair merges first; among equals the one of the smaller left id, then right id.
/// Ids: V3's first three control tokens, the 256 bytes, the merges in order, V3's other control
/// tokens. The vocabulary is smaller than asked for when the text has no more pairs. The same
/// result for any number of threads. Error(bad_input): no text, or a size without room for merges.
Tokenizer train_bpe(ThreadPool& threads, std::span<const std::string_view> documents,
                    const BpeTrainOptions& options = {});

}  // namespace hadal::text
