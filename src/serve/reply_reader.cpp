#include "serve/reply_reader.h"

namespace hadal::serve {

namespace {

class PlainReader : public ReplyReader {
  public:
    std::vector<ReplyDelta> read(const Piece& piece) override {
        if (piece.text.empty()) return {};
        return {{.kind = ReplyDelta::Kind::content, .text = piece.text}};
    }
    std::vector<ReplyDelta> finish() override {
        return {};
    }
};

}  // namespace

std::unique_ptr<ReplyReader> plain_reader() {
    return std::make_unique<PlainReader>();
}

}  // namespace hadal::serve
