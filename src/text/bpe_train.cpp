#include "text/bpe_train.h"

#include <algorithm>
#include <bit>
#include <queue>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/error.h"
#include "text/byte_letters.h"
#include "text/control_tokens.h"
#include "text/piece_counts.h"

namespace hadal::text {
namespace {

// A longer run without any break is data, not words: it teaches nothing and costs much.
constexpr size_t kMaxPieceBytes = 1024;

uint64_t pair_key(int32_t left, int32_t right) {
    return uint64_t(uint32_t(left)) << 32 | uint32_t(right);
}

/// Two neighbouring symbols, and where they were seen.
struct Pair {
    uint64_t key = 0;
    int64_t count = 0;
    int32_t result = -1;          // once merged
    bool gained = false;          // in this step
    std::vector<uint32_t> words;  // may hold some that have lost the pair since
};

/// Pairs by key, by open addressing. References last until the next new pair.
class PairTable {
  public:
    PairTable() : slots_(1 << 16, -1) {}

    /// Index of the pair, which is new with count 0 if it was not there.
    int32_t index_of(uint64_t key) {
        size_t slot = slot_of(key);
        if (slots_[slot] >= 0) return slots_[slot];
        if (2 * (pairs.size() + 1) > slots_.size()) {
            grow();
            slot = slot_of(key);
        }
        slots_[slot] = int32_t(pairs.size());
        pairs.push_back({.key = key, .words = {}});
        return slots_[slot];
    }

    std::vector<Pair> pairs;

  private:
    size_t slot_of(uint64_t key) const {
        const int shift = 64 - std::countr_zero(slots_.size());
        size_t slot = size_t((key * 0x9E3779B97F4A7C15ull) >> shift);
        while (slots_[slot] >= 0 && pairs[slots_[slot]].key != key) {
            slot = (slot + 1) & (slots_.size() - 1);
        }
        return slot;
    }
    void grow() {
        slots_.assign(2 * slots_.size(), -1);
        for (size_t i = 0; i < pairs.size(); ++i) slots_[slot_of(pairs[i].key)] = int32_t(i);
    }

    std::vector<int32_t> slots_;
};

class MergeLearner {
  public:
    MergeLearner(std::span<const PieceCount> pieces, std::vector<std::string>& tokens);
    /// Adds up to `budget` tokens.
    void learn(int64_t budget, int64_t min_frequency, const ProgressCallback& on_progress);

    std::vector<Merge> merges;

  private:
    struct Word {
        size_t begin;  // in symbols_
        uint32_t length;
        int64_t count;
    };
    struct Candidate {
        int64_t count;
        uint64_t key;
        int32_t pair;

        bool operator<(const Candidate& other) const {  // the greatest is merged next
            return count != other.count ? count < other.count : key > other.key;
        }
    };

    void change(int32_t left, int32_t right, int64_t by, uint32_t word);
    void merge_word(uint32_t word, int32_t left, int32_t right, int32_t result);
    void apply(int32_t pair, int32_t result);
    void queue_gained();
    int32_t token_of(const std::string& bytes);

    std::vector<std::string>& tokens_;
    std::unordered_map<std::string, int32_t> ids_;
    std::vector<int32_t> symbols_;
    std::vector<Word> words_;
    PairTable table_;
    std::vector<int32_t> gained_;
    std::priority_queue<Candidate> queue_;
};

MergeLearner::MergeLearner(std::span<const PieceCount> pieces, std::vector<std::string>& tokens)
    : tokens_(tokens) {
    std::array<int32_t, 256> byte_ids{};
    for (size_t id = 0; id < tokens.size(); ++id) {
        if (tokens[id].size() == 1)
            byte_ids[static_cast<unsigned char>(tokens[id][0])] = int32_t(id);
        ids_.emplace(tokens[id], int32_t(id));
    }
    for (const PieceCount& piece : pieces) {
        if (piece.piece.size() < 2 || piece.piece.size() > kMaxPieceBytes) continue;
        const uint32_t word = uint32_t(words_.size());
        words_.push_back({symbols_.size(), uint32_t(piece.piece.size()), piece.count});
        for (const char byte : piece.piece) {
            symbols_.push_back(byte_ids[static_cast<unsigned char>(byte)]);
        }
        const int32_t* const symbol = symbols_.data() + words_.back().begin;
        for (uint32_t i = 0; i + 1 < words_.back().length; ++i) {
            change(symbol[i], symbol[i + 1], piece.count, word);
        }
    }
    queue_gained();
}

void MergeLearner::change(int32_t left, int32_t right, int64_t by, uint32_t word) {
    const int32_t index = table_.index_of(pair_key(left, right));
    Pair& pair = table_.pairs[index];
    pair.count += by;
    if (by < 0) return;
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    if (!pair.gained) gained_.push_back(index);
    pair.gained = true;
}

void MergeLearner::queue_gained() {
    for (const int32_t index : gained_) {
        Pair& pair = table_.pairs[index];
        pair.gained = false;
        if (pair.count > 0) queue_.push({pair.count, pair.key, index});
    }
    gained_.clear();
}

void MergeLearner::merge_word(uint32_t word, int32_t left, int32_t right, int32_t result) {
    Word& merged = words_[word];
    int32_t* const symbol = symbols_.data() + merged.begin;
    uint32_t written = 0;
    for (uint32_t i = 0; i < merged.length; ++i) {
        if (symbol[i] != left || i + 1 == merged.length || symbol[i + 1] != right) {
            symbol[written++] = symbol[i];
            continue;
        }
        if (written > 0) {
            change(symbol[written - 1], left, -merged.count, word);
            change(symbol[written - 1], result, merged.count, word);
        }
        if (i + 2 < merged.length) {
            change(right, symbol[i + 2], -merged.count, word);
            change(result, symbol[i + 2], merged.count, word);
        }
        symbol[written++] = result;
        ++i;
    }
    merged.length = written;
}

void MergeLearner::apply(int32_t pair, int32_t result) {
    const std::vector<uint32_t> words = std::move(table_.pairs[pair].words);
    table_.pairs[pair].words = {};
    const int32_t left = int32_t(table_.pairs[pair].key >> 32);
    const int32_t right = int32_t(table_.pairs[pair].key & 0xFFFFFFFF);
    for (const uint32_t word : words) merge_word(word, left, right, result);
    table_.pairs[pair].count = 0;
    table_.pairs[pair].result = result;
    queue_gained();
}

/// The token of these bytes, new if no other pair has made it before.
int32_t MergeLearner::token_of(const std::string& bytes) {
    const auto [found, is_new] = ids_.emplace(bytes, int32_t(tokens_.size()));
    if (is_new) tokens_.push_back(bytes);
    return found->second;
}

void MergeLearner::learn(int64_t budget, int64_t min_frequency,
                         const ProgressCallback& on_progress) {
    const size_t full = tokens_.size() + size_t(budget);
    while (tokens_.size() < full && !queue_.empty()) {
        const Candidate best = queue_.top();
        queue_.pop();
        const Pair& pair = table_.pairs[best.pair];
        if (pair.count != best.count) {  // outdated: back to its place
            if (pair.count > 0) queue_.push({pair.count, pair.key, best.pair});
            continue;
        }
        if (pair.count < min_frequency) break;
        if (pair.result >= 0) {  // merged before, and come back with a token made in a second way
            apply(best.pair, pair.result);
            continue;
        }
        const int32_t left = int32_t(pair.key >> 32);
        const int32_t right = int32_t(pair.key & 0xFFFFFFFF);
        const int32_t result = token_of(tokens_[left] + tokens_[right]);
        merges.push_back({left, right, result});
        apply(best.pair, result);
        on_progress(int64_t(merges.size()), budget);
    }
}

}  // namespace

Tokenizer train_bpe(ThreadPool& threads, std::span<const std::string_view> documents,
                    const BpeTrainOptions& options) {
    const int64_t fixed = int64_t(kFirstTokens.size() + 256 + kLastTokens.size());
    if (options.vocab_size <= fixed || options.vocab_size > (1 << 24)) {
        throw Error(Error::Kind::bad_input,
                    concat("vocabulary of ", options.vocab_size, " tokens: it must be above the ",
                           fixed, " of bytes and control tokens, and at most ", 1 << 24));
    }
    TokenizerContent content;
    content.splits = v3_splits();
    const Pretokenizer pretokenizer(content.splits);
    const std::vector<PieceCount> pieces = count_pieces(threads, pretokenizer, documents);
    if (pieces.empty()) {
        throw Error(Error::Kind::bad_input, "no text to train a tokenizer on (all files empty?)");
    }
    const auto add_control = [&](std::string_view name) {
        const int32_t id = int32_t(content.tokens.size());
        content.added_tokens.push_back({.id = id, .content = std::string(name)});
        content.tokens.emplace_back(name);
        return id;
    };
    content.bos_id = add_control(kBeginOfSentence);
    content.eos_id = add_control(kEndOfSentence);
    content.pad_id = add_control(kPad);
    content.add_bos = true;
    content.written.resize(content.tokens.size(), TokenizerContent::Written::literal);
    for (const uint8_t byte : bytes_in_letter_order()) content.tokens.emplace_back(1, char(byte));
    MergeLearner learner(pieces, content.tokens);
    learner.learn(options.vocab_size - fixed, std::max<int64_t>(options.min_frequency, 1),
                  options.on_progress);
    content.merges = std::move(learner.merges);
    content.written.resize(content.tokens.size(), TokenizerContent::Written::letters);
    for (const std::string_view name : kLastTokens) add_control(name);
    // An answer shows its reasoning's marks as text.
    for (AddedToken& added : content.added_tokens) {
        if (added.content == kThinkBegin || added.content == kThinkEnd) added.special = false;
    }
    content.written.resize(content.tokens.size(), TokenizerContent::Written::absent);
    return Tokenizer(std::move(content));
}

}  // namespace hadal::text
