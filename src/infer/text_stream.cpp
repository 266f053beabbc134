#include "infer/text_stream.h"

#include <algorithm>

namespace hadal::infer {

TextStream::TextStream(const text::Tokenizer& tokenizer, std::vector<std::string> stops)
    : detokenizer_(tokenizer), stops_(std::move(stops)) {
    std::erase_if(stops_, [](const std::string& stop) { return stop.empty(); });
}

std::string TextStream::show(size_t end) {
    std::string piece = text_.substr(shown_, end - shown_);
    shown_ = end;
    return piece;
}

/// A stop string begins in what is not shown, since its beginning was held back.
void TextStream::cut_at_stop() {
    size_t first = std::string::npos;
    for (const std::string& stop : stops_) {
        const size_t found = text_.find(stop, shown_);
        if (found >= first) continue;
        first = found;
        stop_ = stop;
    }
    if (first == std::string::npos) return;
    text_.resize(first);
    stopped_ = true;
}

/// The longest end of the text that a stop string begins with is not sure.
size_t TextStream::sure_end() const {
    if (stopped_) return text_.size();
    size_t end = text_.size();
    for (const std::string& stop : stops_) {
        for (size_t n = std::min(stop.size() - 1, text_.size() - shown_); n > 0; --n) {
            if (!text_.ends_with(std::string_view(stop).substr(0, n))) continue;
            end = std::min(end, text_.size() - n);
            break;
        }
    }
    return end;
}

std::string TextStream::push(int32_t id) {
    if (stopped_) return "";
    text_ += detokenizer_.push(id);
    cut_at_stop();
    return show(sure_end());
}

std::string TextStream::finish() {
    if (!stopped_) {
        text_ += detokenizer_.finish();
        cut_at_stop();
    }
    return show(text_.size());
}

}  // namespace hadal::infer
