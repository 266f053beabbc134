// The splits of DeepSeek-V3's tokenizer by hand, for speed. The three expressions, in order:
//   1. \p{N}{1,3}
//   2. [一-龥぀-ゟ゠-ヿ]+            Chinese and Japanese
//   3. [!-/:-@\[-`{-~][A-Za-z]+     punctuation before a word, as in ".append"
//      |[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+
//      | ?[\p{P}\p{S}]+[\r\n]*      punctuation with the line break after it
//      |\s*[\r\n]+|\s+(?!\S)|\s+
// The third sees the pieces that the first two left, so a word never crosses a number, and "(?!\S)"
// is true at the end of such a piece.
#pragma once

#include <string_view>
#include <vector>

#include "text/unicode.h"

namespace hadal::text {

class V3Splitter {
  public:
    explicit V3Splitter(std::string_view text)
        : classes_(CharacterClasses::instance()), text_(text) {}

    void split(std::vector<std::string_view>& pieces);

  private:
    struct At {
        char32_t code;
        uint32_t bytes;  // 0 at the end
        uint8_t classes;

        bool is(int any_of) const {
            return (classes & any_of) != 0;
        }
        bool is_line_break() const {
            return code == '\n' || code == '\r';
        }
    };
    At at(size_t position, size_t end) const;

    size_t segment_end(size_t begin) const;
    void split_numbers(size_t begin, std::vector<std::string_view>& pieces);
    void split_segment(size_t begin, size_t end, std::vector<std::string_view>& pieces) const;

    /// End of the third expression's match at `begin`; `begin` if there is none.
    size_t match(size_t begin, size_t end) const;
    size_t match_space(size_t begin, size_t end) const;
    size_t skip(size_t begin, size_t end, int any_of) const;
    size_t skip_line_breaks(size_t begin, size_t end) const;

    const CharacterClasses& classes_;
    std::string_view text_;
};

}  // namespace hadal::text
