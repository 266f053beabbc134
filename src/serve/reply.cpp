#include "serve/reply.h"

#include <utility>

namespace hadal::serve {

Reply::Reply(const text::Tokenizer& tokenizer, const chat::Format& format,
             chat::OutputOptions options)
    : tokenizer_(tokenizer), format_(format), parser_(format, std::move(options)) {}

std::vector<chat::Delta> Reply::read(const Piece& piece) {
    std::string text = piece.text;
    // Special tokens are no text, but some are the marks that the format is made of.
    if (piece.control) {
        const std::string_view token = tokenizer_.token_bytes(piece.id);
        if (format_.knows(token)) text += token;
    }
    return added(parser_.feed(text));
}

std::vector<chat::Delta> Reply::finish() {
    return added(parser_.finish());
}

std::vector<chat::Delta> Reply::added(std::vector<chat::Delta> deltas) {
    for (const chat::Delta& delta : deltas) {
        switch (delta.kind) {
            case chat::Delta::Kind::reasoning:
                reasoning_ += delta.text;
                break;
            case chat::Delta::Kind::content:
                content_ += delta.text;
                break;
            case chat::Delta::Kind::call_begins:
                calls_.push_back({.id = delta.id, .name = delta.name, .arguments = ""});
                break;
            case chat::Delta::Kind::call_arguments:
                calls_.at(size_t(delta.call)).arguments += delta.text;
                break;
        }
    }
    return deltas;
}

}  // namespace hadal::serve
