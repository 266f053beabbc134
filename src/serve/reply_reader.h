// From a chat's tokens to its reply: the model's own marks for thoughts and tool calls are read
// away.
#pragma once

#include <memory>
#include <vector>

#include "serve/answer.h"
#include "serve/reply.h"

namespace hadal::serve {

class ReplyReader {
  public:
    virtual ~ReplyReader() = default;
    virtual std::vector<ReplyDelta> read(const Piece& piece) = 0;
    /// What was held back, at the end of the text.
    virtual std::vector<ReplyDelta> finish() = 0;
};

/// Everything is content.
std::unique_ptr<ReplyReader> plain_reader();

}  // namespace hadal::serve
