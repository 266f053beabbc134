// A chat's answer as it comes: what the model thinks, says and calls.
#pragma once

#include <string>
#include <vector>

#include "chat/output_parser.h"
#include "serve/answer.h"
#include "text/tokenizer.h"

namespace hadal::serve {

struct ToolCall {
    std::string id, name, arguments;
};

class Reply {
  public:
    /// `tokenizer` and `format` must outlive the reply.
    Reply(const text::Tokenizer& tokenizer, const chat::Format& format,
          chat::OutputOptions options);

    /// What the piece adds; what stays open comes with a later one.
    std::vector<chat::Delta> read(const Piece& piece);
    std::vector<chat::Delta> finish();

    // All of it so far.
    const std::string& reasoning() const {
        return reasoning_;
    }
    const std::string& content() const {
        return content_;
    }
    const std::vector<ToolCall>& calls() const {
        return calls_;
    }

  private:
    std::vector<chat::Delta> added(std::vector<chat::Delta> deltas);

    const text::Tokenizer& tokenizer_;
    const chat::Format& format_;
    chat::OutputParser parser_;
    std::string reasoning_, content_;
    std::vector<ToolCall> calls_;
};

}  // namespace hadal::serve
