#include "serve/json_source.h"

#include <algorithm>
#include <cstddef>

namespace hadal::serve {

namespace {

/// Walks over valid JSON; on anything else it stays inside the text, which is all that it promises.
class Cursor {
  public:
    explicit Cursor(std::string_view text) : text_(text) {}

    void skip_space() {
        at_ = std::min(text_.find_first_not_of(" \t\r\n", at_), text_.size());
    }
    bool take(char c) {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != c) return false;
        ++at_;
        return true;
    }
    /// The text of the value that begins here.
    std::string_view value() {
        skip_space();
        const size_t begin = at_;
        int depth = 0;
        while (at_ < text_.size()) {
            const char c = text_[at_];
            if (depth == 0 && at_ > begin && (c == ',' || c == '}' || c == ']')) break;
            if (c == '"') {
                skip_string();
            } else {
                depth += c == '{' || c == '[' ? 1 : c == '}' || c == ']' ? -1 : 0;
                ++at_;
            }
        }
        const std::string_view value = text_.substr(begin, at_ - begin);
        return value.substr(0, value.find_last_not_of(" \t\r\n") + 1);
    }

  private:
    void skip_string() {
        ++at_;
        while (at_ < text_.size() && text_[at_] != '"') at_ += text_[at_] == '\\' ? 2 : 1;
        at_ = std::min(at_ + 1, text_.size());
    }

    std::string_view text_;
    size_t at_ = 0;
};

}  // namespace

std::string_view member_source(std::string_view object, std::string_view name) {
    Cursor cursor(object);
    if (!cursor.take('{')) return {};
    while (true) {
        const std::string_view key = cursor.value();  // up to the colon and the value behind it
        const size_t colon = key.find(':', key.find('"', 1) + 1);
        if (colon == std::string_view::npos) return {};
        if (key.size() > name.size() + 2 && key.substr(1, name.size()) == name &&
            key[name.size() + 1] == '"') {
            const size_t begin = key.find_first_not_of(" \t\r\n", colon + 1);
            return begin == std::string_view::npos ? std::string_view() : key.substr(begin);
        }
        if (!cursor.take(',')) return {};
    }
}

}  // namespace hadal::serve
