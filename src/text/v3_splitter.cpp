#include "text/v3_splitter.h"

namespace hadal::text {
namespace {

constexpr int kWord = kLetter | kMark;
constexpr int kSign = kPunctuation | kSymbol;

bool is_ascii_letter(char32_t code) {
    return (code >= 'a' && code <= 'z') || (code >= 'A' && code <= 'Z');
}

/// The second expression's set.
bool is_han_or_kana(char32_t code) {
    return code >= 0x3040 && (code <= 0x30FF || (code >= 0x4E00 && code <= 0x9FA5));
}

}  // namespace

inline V3Splitter::At V3Splitter::at(size_t position, size_t end) const {
    if (position >= end) return {kInvalidCharacter, 0, 0};
    const Character character = decode_character(text_.substr(position, end - position));
    return {character.code, character.bytes, classes_.of(character.code)};
}

inline size_t V3Splitter::skip(size_t begin, size_t end, int any_of) const {
    At next = at(begin, end);
    while (next.is(any_of)) {
        begin += next.bytes;
        next = at(begin, end);
    }
    return begin;
}

inline size_t V3Splitter::skip_line_breaks(size_t begin, size_t end) const {
    while (begin < end && (text_[begin] == '\n' || text_[begin] == '\r')) ++begin;
    return begin;
}

/// \s*[\r\n]+ | \s+(?!\S) | \s+ on a run of space that is not empty.
size_t V3Splitter::match_space(size_t begin, size_t end) const {
    size_t after_line_break = begin;
    size_t last = begin;  // where the run's last character starts
    size_t run_end = begin;
    for (At next = at(begin, end); next.is(kSpace); next = at(run_end, end)) {
        last = run_end;
        run_end += next.bytes;
        if (next.is_line_break()) after_line_break = run_end;
    }
    if (after_line_break > begin) return after_line_break;
    if (run_end == end || last == begin) return run_end;
    return last;  // the last space belongs to the word that follows
}

size_t V3Splitter::match(size_t begin, size_t end) const {
    const At first = at(begin, end);
    const size_t second = begin + first.bytes;
    if (first.is(kWord)) return skip(second, end, kWord);
    if (first.is(kSign)) {
        if (first.code < 0x80 && second < end &&
            is_ascii_letter(static_cast<unsigned char>(text_[second]))) {
            size_t after = second;
            while (after < end && is_ascii_letter(static_cast<unsigned char>(text_[after])))
                ++after;
            return after;
        }
        return skip_line_breaks(skip(second, end, kSign), end);
    }
    if (!first.is_line_break() && at(second, end).is(kWord)) return skip(second, end, kWord);
    if (first.code == ' ' && at(second, end).is(kSign)) {
        return skip_line_breaks(skip(second, end, kSign), end);
    }
    return first.is(kSpace) ? match_space(begin, end) : begin;
}

void V3Splitter::split_segment(size_t begin, size_t end,
                               std::vector<std::string_view>& pieces) const {
    size_t unmatched = begin;  // start of the characters that no match has claimed
    while (begin < end) {
        const size_t after = match(begin, end);
        if (after == begin) {
            begin += at(begin, end).bytes;
            continue;
        }
        if (unmatched < begin) pieces.push_back(text_.substr(unmatched, begin - unmatched));
        pieces.push_back(text_.substr(begin, after - begin));
        unmatched = begin = after;
    }
    if (unmatched < end) pieces.push_back(text_.substr(unmatched, end - unmatched));
}

/// Up to where neither of the first two expressions starts or stops a match.
size_t V3Splitter::segment_end(size_t begin) const {
    const size_t end = text_.size();
    At next = at(begin, end);
    const bool han_or_kana = is_han_or_kana(next.code);
    do {
        begin += next.bytes;
        next = at(begin, end);
    } while (next.bytes > 0 && !next.is(kNumber) && is_han_or_kana(next.code) == han_or_kana);
    return begin;
}

/// One to three digits a piece, as far as digits go. No number has a class of the third expression.
void V3Splitter::split_numbers(size_t begin, std::vector<std::string_view>& pieces) {
    size_t end = begin;
    for (int digits = 0; digits < 3; ++digits) {
        const At next = at(end, text_.size());
        if (!next.is(kNumber)) break;
        end += next.bytes;
    }
    pieces.push_back(text_.substr(begin, end - begin));
}

void V3Splitter::split(std::vector<std::string_view>& pieces) {
    size_t begin = 0;
    while (begin < text_.size()) {
        if (at(begin, text_.size()).is(kNumber)) {
            split_numbers(begin, pieces);
            begin += pieces.back().size();
        } else {
            const size_t end = segment_end(begin);
            split_segment(begin, end, pieces);
            begin = end;
        }
    }
}

}  // namespace hadal::text
