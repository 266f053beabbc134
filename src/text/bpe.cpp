#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>

#include "core/error.h"

namespace hadal::text {
namespace {

// Up to here, looking at every pair for the best one beats keeping a heap.
constexpr size_t kShortPiece = 48;

/// Slots for `count` entries at a load of at most one half.
size_t table_slots(size_t count) {
    return std::bit_ceil(std::max<size_t>(2 * count, 16));
}

uint32_t hash_bytes(std::string_view bytes) {
    uint64_t hash = bytes.size() * 0x9E3779B97F4A7C15ull;
    const char* at = bytes.data();
    size_t left = bytes.size();
    const auto mix = [&](uint64_t word) {
        hash = (hash ^ word) * 0xBF58476D1CE4E5B9ull;
        hash ^= hash >> 32;
    };
    for (; left >= 8; left -= 8, at += 8) {
        uint64_t word;
        std::memcpy(&word, at, 8);
        mix(word);
    }
    uint64_t tail = 0;
    if (left >= 4) {
        uint32_t low;
        uint32_t high;  // overlaps `low` unless seven bytes are left
        std::memcpy(&low, at, 4);
        std::memcpy(&high, at + left - 4, 4);
        tail = uint64_t(high) << 32 | low;
    } else {
        for (size_t i = 0; i < left; ++i) tail = tail << 8 | static_cast<unsigned char>(at[i]);
    }
    mix(tail);
    return uint32_t(hash);
}

}  // namespace

MergeTable::MergeTable(std::span<const Merge> merges) : entries_(table_slots(merges.size())) {
    shift_ = 64 - std::countr_zero(entries_.size());
    for (size_t rank = 0; rank < merges.size(); ++rank) {
        const Merge& merge = merges[rank];
        Entry& entry = entries_[size_t(&find(merge.left, merge.right) - entries_.data())];
        if (entry.rank != kNone) {
            throw Error(Error::Kind::internal, concat("merge ", rank, " repeats ", entry.rank));
        }
        entry.pair = uint64_t(uint32_t(merge.left)) << 32 | uint32_t(merge.right);
        entry.rank = uint32_t(rank);
        entry.result = merge.result;
    }
}

TokenTable::TokenTable(std::span<const std::string> tokens, std::span<const int32_t> ids)
    : tokens_(tokens.data()), slots_(table_slots(ids.size())) {
    for (const int32_t id : ids) {
        if (tokens_[id].empty() || find(tokens_[id]) >= 0) continue;
        const uint32_t hash = hash_bytes(tokens_[id]);
        size_t slot = hash & (slots_.size() - 1);
        while (slots_[slot].id >= 0) slot = (slot + 1) & (slots_.size() - 1);
        slots_[slot] = {hash, id};
    }
}

int32_t TokenTable::find(std::string_view bytes) const {
    const uint32_t hash = hash_bytes(bytes);
    for (size_t slot = hash & (slots_.size() - 1); slots_[slot].id >= 0;
         slot = (slot + 1) & (slots_.size() - 1)) {
        if (slots_[slot].hash == hash && tokens_[slots_[slot].id] == bytes) return slots_[slot].id;
    }
    return -1;
}

BytePairEncoder::BytePairEncoder(std::span<const std::string> tokens, std::span<const int32_t> ids,
                                 const std::array<int32_t, 256>& byte_ids,
                                 std::span<const Merge> merges, Options options)
    : byte_ids_(byte_ids), merges_(merges), whole_pieces_({}, {}) {
    Scratch scratch;
    std::vector<int32_t> merged;
    std::vector<int32_t> whole;
    for (const int32_t id : ids) {
        if (tokens[id].empty()) continue;
        if (!options.ignore_merges) {
            merged.clear();
            merge_all(tokens[id], scratch, merged);
            if (merged.size() != 1 || merged[0] != id) continue;
        }
        whole.push_back(id);
    }
    whole_pieces_ = TokenTable(tokens, whole);
}

void BytePairEncoder::encode(std::string_view piece, Scratch& scratch,
                             std::vector<int32_t>& ids) const {
    const int32_t whole = whole_pieces_.find(piece);
    if (whole >= 0) {
        ids.push_back(whole);
        return;
    }
    const size_t before = ids.size();
    merge_all(piece, scratch, ids);
    for (size_t i = before; i < ids.size(); ++i) {
        if (ids[i] < 0) {
            throw Error(Error::Kind::bad_input,
                        "text holds a byte that UTF-8 never uses, and this vocabulary has no token "
                        "for it (clean the text)");
        }
    }
}

void BytePairEncoder::merge_all(std::string_view piece, Scratch& scratch,
                                std::vector<int32_t>& ids) const {
    if (piece.size() <= kShortPiece) return merge_short(piece, scratch, ids);
    if (piece.size() > size_t(INT32_MAX)) {
        throw Error(Error::Kind::bad_input, "text holds a word of over 2 GiB (cut it in parts)");
    }
    merge_long(piece, scratch, ids);
}

void BytePairEncoder::merge_short(std::string_view piece, Scratch& scratch,
                                  std::vector<int32_t>& ids) const {
    size_t count = piece.size();
    scratch.ids.resize(count);
    scratch.ranks.resize(count);    // of the pair (i, i + 1)
    scratch.results.resize(count);  // what it becomes
    int32_t* const symbol = scratch.ids.data();
    uint32_t* const rank = scratch.ranks.data();
    int32_t* const result = scratch.results.data();
    const auto look_up = [&](size_t i) {
        const MergeTable::Entry& entry = merges_.find(symbol[i], symbol[i + 1]);
        rank[i] = entry.rank;
        result[i] = entry.result;
    };
    for (size_t i = 0; i < count; ++i) symbol[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
    for (size_t i = 0; i + 1 < count; ++i) look_up(i);
    while (count > 1) {
        const size_t best = size_t(std::min_element(rank, rank + count - 1) - rank);
        if (rank[best] == MergeTable::kNone) break;
        symbol[best] = result[best];
        std::copy(symbol + best + 2, symbol + count, symbol + best + 1);
        std::copy(rank + best + 2, rank + count, rank + best + 1);
        std::copy(result + best + 2, result + count, result + best + 1);
        --count;
        if (best > 0) look_up(best - 1);
        if (best + 1 < count) look_up(best);
    }
    ids.insert(ids.end(), symbol, symbol + count);
}

void BytePairEncoder::merge_long(std::string_view piece, Scratch& scratch,
                                 std::vector<int32_t>& ids) const {
    const int32_t count = int32_t(piece.size());
    scratch.ids.resize(count);
    scratch.ranks.assign(count, MergeTable::kNone);  // of the pair that starts here
    scratch.results.resize(count);
    scratch.next.resize(count);  // the symbols still there are a list
    scratch.previous.resize(count);
    scratch.heap.clear();  // rank, position: the least is the next merge; may hold outdated pairs
    const auto look_up = [&](int32_t i) {
        const int32_t right = scratch.next[i];
        scratch.ranks[i] = MergeTable::kNone;
        if (right == count) return;
        const MergeTable::Entry& entry = merges_.find(scratch.ids[i], scratch.ids[right]);
        if (entry.rank == MergeTable::kNone) return;
        scratch.ranks[i] = entry.rank;
        scratch.results[i] = entry.result;
        scratch.heap.push_back(uint64_t(entry.rank) << 32 | uint32_t(i));
        std::push_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
    };
    for (int32_t i = 0; i < count; ++i) {
        scratch.ids[i] = byte_ids_[static_cast<unsigned char>(piece[i])];
        scratch.next[i] = i + 1;
        scratch.previous[i] = i - 1;
    }
    for (int32_t i = 0; i < count; ++i) look_up(i);
    while (!scratch.heap.empty()) {
        std::pop_heap(scratch.heap.begin(), scratch.heap.end(), std::greater<>());
        const uint32_t rank = uint32_t(scratch.heap.back() >> 32);
        const int32_t left = int32_t(scratch.heap.back() & 0xFFFFFFFF);
        scratch.heap.pop_back();
        if (scratch.ranks[left] != rank) continue;
        const int32_t right = scratch.next[left];
        scratch.ids[left] = scratch.results[left];
        scratch.ranks[right] = MergeTable::kNone;
        scratch.next[left] = scratch.next[right];
        if (scratch.next[left] < count) scratch.previous[scratch.next[left]] = left;
        look_up(left);
        if (scratch.previous[left] >= 0) look_up(scratch.previous[left]);
    }
    for (int32_t i = 0; i < count; i = scratch.next[i]) ids.push_back(scratch.ids[i]);
}

}  // namespace hadal::text
