#include "text/added_tokens.h"

#include "text/unicode.h"

namespace hadal::text {
namespace {

bool is_word_character(char32_t code) {
    return code == '_' ||
           (CharacterClasses::instance().of(code) & (kLetter | kMark | kNumber)) != 0;
}

bool is_space(char32_t code) {
    return (CharacterClasses::instance().of(code) & kSpace) != 0;
}

/// Where the last character of `text`, which is not empty, starts.
size_t last_character(std::string_view text) {
    size_t start = text.size() - 1;
    while (start > 0 && text.size() - start < 4 && (text[start] & 0xC0) == 0x80) --start;
    return start + decode_character(text.substr(start)).bytes == text.size() ? start
                                                                             : text.size() - 1;
}

bool ends_with_word(std::string_view text) {
    return !text.empty() &&
           is_word_character(decode_character(text.substr(last_character(text))).code);
}

bool starts_with_word(std::string_view text) {
    return !text.empty() && is_word_character(decode_character(text).code);
}

size_t space_at_end(std::string_view text) {
    const size_t size = text.size();
    while (!text.empty()) {
        const size_t last = last_character(text);
        if (!is_space(decode_character(text.substr(last)).code)) break;
        text = text.substr(0, last);
    }
    return size - text.size();
}

size_t space_at_start(std::string_view text) {
    size_t count = 0;
    while (count < text.size()) {
        const Character next = decode_character(text.substr(count));
        if (!is_space(next.code)) break;
        count += next.bytes;
    }
    return count;
}

}  // namespace

void AddedTokenFinder::Tree::insert(std::string_view content, int32_t token) {
    int32_t node = 0;
    for (const char byte : content) {
        int32_t child = -1;
        for (const auto& [label, target] : nodes[node].children) {
            if (label == byte) child = target;
        }
        if (child < 0) {
            child = int32_t(nodes.size());
            nodes[node].children.push_back({byte, child});
            nodes.emplace_back();
        }
        node = child;
    }
    nodes[node].token = token;
}

int32_t AddedTokenFinder::Tree::longest(std::string_view text) const {
    int32_t found = -1;
    int32_t node = 0;
    for (const char byte : text) {
        int32_t child = -1;
        for (const auto& [label, target] : nodes[node].children) {
            if (label == byte) child = target;
        }
        if (child < 0) break;
        node = child;
        if (nodes[node].token >= 0) found = nodes[node].token;
    }
    return found;
}

AddedTokenFinder::AddedTokenFinder(std::span<const AddedToken> tokens)
    : tokens_(tokens.begin(), tokens.end()) {
    for (size_t i = 0; i < tokens_.size(); ++i) {
        Tree& tree = tokens_[i].normalized ? normalized_ : exact_;
        tree.insert(tokens_[i].content, int32_t(i));
    }
}

void AddedTokenFinder::split_plain(std::string_view text, const Tree& tree,
                                   std::vector<Part>& parts) const {
    size_t done = 0;  // everything before is in a part or stripped
    for (size_t at = 0; at < text.size();) {
        const int32_t index = tree.longest(text.substr(at));
        if (index < 0) {
            ++at;
            continue;
        }
        const AddedToken& token = tokens_[index];
        const size_t end = at + token.content.size();
        const std::string_view before = text.substr(done, at - done);
        const bool inside_word = ends_with_word(text.substr(0, at)) ||  //
                                 starts_with_word(text.substr(end));
        if (token.single_word && inside_word) {
            at = end;
            continue;
        }
        const size_t stripped = token.strip_left ? space_at_end(before) : 0;
        if (stripped < before.size()) {
            parts.push_back({before.substr(0, before.size() - stripped), nullptr});
        }
        parts.push_back({text.substr(at, end - at), &token});
        done = at = end + (token.strip_right ? space_at_start(text.substr(end)) : 0);
    }
    if (done < text.size()) parts.push_back({text.substr(done), nullptr});
}

std::vector<AddedTokenFinder::Part> AddedTokenFinder::split(std::string_view text) const {
    std::vector<Part> exact;
    split_plain(text, exact_, exact);
    if (normalized_.nodes.size() == 1) return exact;
    std::vector<Part> parts;
    for (const Part& part : exact) {
        if (part.token != nullptr) {
            parts.push_back(part);
        } else {
            split_plain(part.text, normalized_, parts);
        }
    }
    return parts;
}

}  // namespace hadal::text
