// What the kernels of attention_latent are given by ops/attention_latent.cpp: a sequence, and which
// rows and keys of it.
//
// A row is one head of one query: row = query·heads + head. Keys are taken in splits that begin at
// the same keys whatever the sequence (latent_split_begin); each split is attended to on its own
// and the splits are merged in rising order. So a thread may take one split or all of them, and the
// bits are the same.
#pragma once

#include <cstddef>
#include <cstdint>

#include "core/dtype.h"
#include "core/isa.h"
#include "ops/cpu/rows.h"

namespace hadal::ops::cpu {

constexpr int64_t kLatentRows = 128;  // rows that share one reading of the keys: one query of V3
constexpr int64_t kLatentPage = 64;   // rows of the cache that lie one after the other

// Splits of the first keys are short, so that threads share a context that is not long: one thread
// reads the cache at a quarter of the memory's speed. Later ones are long: merging them costs more
// than the last thread's wait. Both are multiples of the block in attention_softmax.h.
constexpr int64_t kShortLatentSplit = 128;
constexpr int64_t kShortLatentSplits = 8;
constexpr int64_t kLongLatentSplit = 512;

/// The key that a split begins with.
constexpr int64_t latent_split_begin(int64_t split) {
    const int64_t rest = split - kShortLatentSplits;
    return rest <= 0 ? split * kShortLatentSplit
                     : kShortLatentSplits * kShortLatentSplit + rest * kLongLatentSplit;
}
/// Splits that hold the first `keys`.
constexpr int64_t latent_splits(int64_t keys) {
    const int64_t rest = keys - kShortLatentSplits * kShortLatentSplit;
    return rest <= 0 ? (keys + kShortLatentSplit - 1) / kShortLatentSplit
                     : kShortLatentSplits + (rest + kLongLatentSplit - 1) / kLongLatentSplit;
}

struct LatentSizes {
    int64_t heads, rank, rope;
    double scale;
};

/// Where the keys of a sequence lie: key j is row (j + shift) % kLatentPage of the page that the
/// table names.
template <class T>
struct PagedKeys {
    Rows<const T> rows;         // [pages·kLatentPage, rank + rope], or no memory:
    Rows<const uint8_t> codes;  // [pages·kLatentPage, bytes], see ops/latent_rows.h; T is bf16 then
    const int32_t* pages;       // of the sequence
    int64_t shift;

    int64_t row_of(int64_t key) const {
        const int64_t slot = key + shift;
        return pages[slot / kLatentPage] * kLatentPage + slot % kLatentPage;
    }
    /// Keys from `key` on, at most `most`, that lie one after the other.
    int64_t adjacent(int64_t key, int64_t most) const {
        const int64_t slot = key + shift;
        int64_t count = kLatentPage - slot % kLatentPage;
        for (const int32_t* page = pages + slot / kLatentPage;
             count < most && page[1] == page[0] + 1; ++page) {
            count += kLatentPage;
        }
        return count < most ? count : most;
    }
};

/// One sequence.
template <class T>
struct LatentTask {
    LatentSizes sizes;
    Rows<const T> q_latent;  // [query_count, heads·rank]
    Rows<const T> q_pe;      // [query_count, heads·rope]
    PagedKeys<T> keys;
    Rows<T> u;  // [query_count, heads·rank]
    int64_t length, query_count;

    /// Keys that a row may see.
    int64_t seen(int64_t row) const {
        return length - query_count + row / sizes.heads + 1;
    }
};

/// Rows [first_row, first_row + row_count) of a task, at most kLatentRows, and their splits [split,
/// split_end).
struct LatentPiece {
    int64_t sequence;
    int64_t first_row, row_count;
    int64_t split, split_end;
};

/// Values that one split of kLatentRows rows leaves: m, l, then o.
template <Isa isa, class T>
int64_t attention_latent_partial(const LatentSizes& sizes);
template <Isa isa, class T>
int64_t attention_latent_scratch(const LatentSizes& sizes);  // bytes

/// All splits of the rows, to the end: writes u.
template <Isa isa, class T>
void attention_latent_whole(const LatentTask<T>& task, const LatentPiece& piece, void* scratch);

/// One split of the rows: writes `partial`.
template <Isa isa, class T, class S>
void attention_latent_split(const LatentTask<T>& task, const LatentPiece& piece, void* scratch,
                            S* partial);

/// Row piece.first_row + r from the partials of all its splits, which lie
/// attention_latent_partial() apart.
template <Isa isa, class T, class S>
void attention_latent_merge(const LatentTask<T>& task, const LatentPiece& piece, int64_t r,
                            const S* partials, void* scratch);

}  // namespace hadal::ops::cpu
