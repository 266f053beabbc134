#include "chat/jinja_text.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::chat::jinja {

namespace {

constexpr size_t kMaxBytes = size_t(64) << 20;
constexpr std::string_view kSpace = " \t\n\r\v\f";

std::vector<Text> split_at_space(const Text& text, int64_t most) {
    std::vector<Text> parts;
    const std::string& bytes = text.bytes();
    for (size_t begin = bytes.find_first_not_of(kSpace); begin != std::string::npos;) {
        const bool rest = most >= 0 && int64_t(parts.size()) == most;
        const size_t end = rest ? bytes.find_last_not_of(kSpace) + 1
                                : std::min(bytes.find_first_of(kSpace, begin), bytes.size());
        parts.push_back(text.part(begin, end - begin));
        begin = rest ? std::string::npos : bytes.find_first_not_of(kSpace, end);
    }
    return parts;
}

}  // namespace

Text Text::part(size_t begin, size_t count) const {
    Text result;
    result.bytes_ = bytes_.substr(begin, count);
    result.sources_ = sources_.substr(begin, count);
    return result;
}

void Text::append(const Text& other) {
    if (bytes_.size() + other.bytes_.size() > kMaxBytes)
        throw Error(Error::Kind::bad_input, "a text in the chat template is longer than 64 MiB");
    bytes_ += other.bytes_;
    sources_ += other.sources_;
}

Text stripped(const Text& text, bool left, bool right, const std::string& characters) {
    const std::string_view set = characters.empty() ? kSpace : std::string_view(characters);
    const std::string& bytes = text.bytes();
    const size_t begin = left ? std::min(bytes.find_first_not_of(set), bytes.size()) : 0;
    const size_t last = right ? bytes.find_last_not_of(set) : bytes.size() - 1;
    if (begin == bytes.size() || last == std::string::npos) return {};
    return text.part(begin, last + 1 - begin);
}

std::vector<Text> split(const Text& text, const std::string& separator, int64_t most) {
    if (separator.empty()) return split_at_space(text, most);
    std::vector<Text> parts;
    size_t begin = 0;
    while (most < 0 || int64_t(parts.size()) < most) {
        const size_t end = text.bytes().find(separator, begin);
        if (end == std::string::npos) break;
        parts.push_back(text.part(begin, end - begin));
        begin = end + separator.size();
    }
    parts.push_back(text.part(begin));
    return parts;
}

std::vector<Text> split_from_right(const Text& text, const std::string& separator, int64_t most) {
    if (most < 0 || separator.empty()) return split(text, separator, most);
    std::vector<Text> parts;
    size_t end = text.size();
    while (int64_t(parts.size()) < most && end >= separator.size()) {
        const size_t begin = text.bytes().rfind(separator, end - separator.size());
        if (begin == std::string::npos) break;
        const size_t after = begin + separator.size();
        parts.push_back(text.part(after, end - after));
        end = begin;
    }
    parts.push_back(text.part(0, end));
    std::ranges::reverse(parts);
    return parts;
}

Text replaced(const Text& text, const std::string& from, const Text& to, int64_t most) {
    if (from.empty()) return text;
    const std::vector<Text> parts = split(text, from, most);
    Text result;
    for (size_t i = 0; i < parts.size(); ++i) {
        if (i > 0) result.append(to);
        result.append(parts[i]);
    }
    return result;
}

Text mapped(const Text& text, char (*map)(char)) {
    Text result;
    std::string bytes = text.bytes();
    for (char& c : bytes) c = map(c);
    for (size_t begin = 0; begin < bytes.size();) {
        size_t end = begin + 1;
        while (end < bytes.size() && text.source(end) == text.source(begin)) ++end;
        result.append(std::string_view(bytes).substr(begin, end - begin), text.source(begin));
        begin = end;
    }
    return result;
}

char to_upper(char c) {
    return c >= 'a' && c <= 'z' ? char(c - 32) : c;
}
char to_lower(char c) {
    return c >= 'A' && c <= 'Z' ? char(c + 32) : c;
}

std::vector<size_t> character_starts(const std::string& bytes) {
    std::vector<size_t> starts;
    for (size_t i = 0; i < bytes.size(); ++i) {
        if ((uint8_t(bytes[i]) & 0xc0) != 0x80) starts.push_back(i);
    }
    starts.push_back(bytes.size());
    return starts;
}

}  // namespace hadal::chat::jinja
