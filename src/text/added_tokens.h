// Added tokens in text: leftmost first, longest first among those that start at one place.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer.h"

namespace hadal::text {

class AddedTokenFinder {
  public:
    explicit AddedTokenFinder(std::span<const AddedToken> tokens);

    struct Part {
        std::string_view text;
        const AddedToken* token;  // null: plain text
    };
    /// `text` in parts, none of which is empty. White space that a token strips is in no part.
    std::vector<Part> split(std::string_view text) const;

  private:
    /// A tree of bytes; node 0 is the root.
    struct Node {
        std::vector<std::pair<char, int32_t>> children;
        int32_t token = -1;  // index of the token that ends here
    };
    struct Tree {
        std::vector<Node> nodes{1};
        void insert(std::string_view content, int32_t token);
        /// Index of the longest token at the front of `text`, or -1.
        int32_t longest(std::string_view text) const;
    };
    void split_plain(std::string_view text, const Tree& tree, std::vector<Part>& parts) const;

    std::vector<AddedToken> tokens_;
    Tree exact_;       // found first
    Tree normalized_;  // found in what the others leave
};

}  // namespace hadal::text
