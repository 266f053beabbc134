// Which tokens of a vocabulary may come next. A token may if its bytes lead from the position to a
// living one; so a token that ends in the middle of a character or of a keyword may.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "grammar/matcher.h"

namespace hadal::grammar {

/// The bytes of every token that can be part of a text, in an order in which neighbours share
/// beginnings. One serves all grammars of a tokenizer.
class Vocabulary {
  public:
    /// `tokens[id]`: the bytes of a token; "" for one that is no text (control tokens).
    explicit Vocabulary(std::vector<std::string> tokens);

    int64_t size() const {
        return int64_t(tokens_.size());
    }
    std::string_view bytes(int32_t id) const {
        return tokens_[size_t(id)];
    }

  private:
    friend class TokenMasks;
    struct Entry {
        int32_t id;
        size_t shared;  // leading bytes that the entry before has too
    };
    std::vector<std::string> tokens_;
    std::vector<Entry> entries_;  // of those that are text, in the order of their bytes
};

/// A bit for each token, set if it may come next.
using TokenMask = std::vector<uint64_t>;

/// A grammar over a vocabulary. Many sequences may use one, from several threads.
class TokenMasks {
  public:
    TokenMasks(std::shared_ptr<const Vocabulary> vocabulary, Automaton automaton);

    Position start() const {
        return matcher_.start();
    }
    /// Tokens that may follow; those that were asked for last are kept.
    std::shared_ptr<const TokenMask> mask(Position position);
    /// Behind some bytes, or those of a token; kDead if they may not come.
    Position next(Position position, std::string_view bytes);
    Position next_token(Position position, int32_t id) {
        return next(position, vocabulary_->bytes(id));
    }
    bool may_end(Position position);
    bool must_end(Position position);

    static constexpr size_t kKept = 256;  // masks: 4 MB of V3's vocabulary

  private:
    TokenMask compute(Position position);

    std::shared_ptr<const Vocabulary> vocabulary_;
    std::mutex mutex_;
    Matcher matcher_;
    struct Kept {
        std::shared_ptr<const TokenMask> mask;
        uint64_t used;
    };
    std::map<Position, Kept> kept_;
    uint64_t time_ = 0;
};

}  // namespace hadal::grammar
