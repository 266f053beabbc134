// Text that knows where each of its bytes comes from: from the template, or from the data that it
// renders. A control token counts only where the template wrote it.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::chat::jinja {

enum class Source : char { templ, data };

class Text {
  public:
    Text() = default;
    explicit Text(std::string_view bytes, Source source = Source::templ)
        : bytes_(bytes), sources_(bytes.size(), char(source)) {}

    const std::string& bytes() const {
        return bytes_;
    }
    Source source(size_t i) const {
        return Source(sources_[i]);
    }
    size_t size() const {
        return bytes_.size();
    }
    bool empty() const {
        return bytes_.empty();
    }
    Text part(size_t begin, size_t count = std::string::npos) const;
    /// Error(bad_input) beyond 64 MiB: no conversation is that long.
    void append(const Text& other);
    void append(std::string_view bytes, Source source = Source::templ) {
        append(Text(bytes, source));
    }

    /// Of the same bytes, whatever their source.
    friend bool operator==(const Text& a, const Text& b) {
        return a.bytes_ == b.bytes_;
    }

  private:
    std::string bytes_;
    std::string sources_;  // as long
};

// Python's methods of strings. Cases are those of ASCII.

/// Without `characters` at its ends, white space if there are none given.
Text stripped(const Text& text, bool left, bool right, const std::string& characters = "");
/// At every `separator`, `most` times at most (−1: any); at runs of white space for an empty one.
std::vector<Text> split(const Text& text, const std::string& separator, int64_t most = -1);
std::vector<Text> split_from_right(const Text& text, const std::string& separator, int64_t most);
Text replaced(const Text& text, const std::string& from, const Text& to, int64_t most = -1);
Text mapped(const Text& text, char (*map)(char));
char to_upper(char c);
char to_lower(char c);

/// Where each character (UTF-8 code point) begins, and the end.
std::vector<size_t> character_starts(const std::string& bytes);

}  // namespace hadal::chat::jinja
