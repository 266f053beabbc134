// Byte-level byte-pair encoding of one piece: starts from its bytes and joins, again and again, the
// neighbours whose merge ranks first (Sennrich et al. 2016), leftmost first among equals.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::text {

/// left + right → result; its rank is its position in the list.
struct Merge {
    int32_t left;
    int32_t right;
    int32_t result;

    bool operator==(const Merge&) const = default;
};

/// (left, right) → rank and result, by open addressing.
class MergeTable {
  public:
    static constexpr uint32_t kNone = ~0u;
    struct Entry {
        uint64_t pair = ~0ull;
        uint32_t rank = kNone;
        int32_t result = -1;
    };

    explicit MergeTable(std::span<const Merge> merges);

    /// An entry of rank kNone if the two do not merge.
    const Entry& find(int32_t left, int32_t right) const {
        const uint64_t pair = uint64_t(uint32_t(left)) << 32 | uint32_t(right);
        size_t slot = size_t((pair * 0x9E3779B97F4A7C15ull) >> shift_);
        while (entries_[slot].pair != pair && entries_[slot].rank != kNone) {
            slot = (slot + 1) & (entries_.size() - 1);
        }
        return entries_[slot];
    }

  private:
    int shift_;
    std::vector<Entry> entries_;
};

/// Tokens by their bytes, by open addressing.
class TokenTable {
  public:
    /// `tokens` must outlive the table. Empty ones are left out, and so are ids beyond the list.
    TokenTable(std::span<const std::string> tokens, std::span<const int32_t> ids);

    /// -1 if there is none.
    int32_t find(std::string_view bytes) const;

  private:
    struct Slot {
        uint32_t hash = 0;
        int32_t id = -1;
    };
    const std::string* tokens_ = nullptr;
    std::vector<Slot> slots_;
};

class BytePairEncoder {
  public:
    struct Options {
        bool ignore_merges = false;  // a piece that is a token is that token, whatever the merges
    };

    /// `tokens`: bytes by id, must outlive this; `ids`: those that text may become (added tokens
    /// are not among them); `byte_ids`: the token each byte starts as. All merges must be in range.
    BytePairEncoder(std::span<const std::string> tokens, std::span<const int32_t> ids,
                    const std::array<int32_t, 256>& byte_ids, std::span<const Merge> merges,
                    Options options);

    /// Room for one call after the other, of one thread.
    struct Scratch {
        std::vector<int32_t> ids;
        std::vector<uint32_t> ranks;
        std::vector<int32_t> results;
        std::vector<int32_t> next;
        std::vector<int32_t> previous;
        std::vector<uint64_t> heap;
    };

    /// Appends the ids of `piece`. Error(bad_input) for a byte that has no token.
    void encode(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

  private:
    void merge_all(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
    void merge_short(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;
    void merge_long(std::string_view piece, Scratch& scratch, std::vector<int32_t>& ids) const;

    std::array<int32_t, 256> byte_ids_;
    MergeTable merges_;
    TokenTable whole_pieces_;  // tokens that their own bytes merge to
};

}  // namespace hadal::text
