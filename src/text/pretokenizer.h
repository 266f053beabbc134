// Cuts text into the pieces that byte-pair merges never cross: a sequence of splits, each applied
// to the pieces of the one before. Nothing is dropped or changed: the pieces, joined, are the text,
// byte for byte, whether or not it is UTF-8.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace hadal::text {

/// One split of the sequence, as tokenizer.json names it. Matches are isolated: each becomes a
/// piece, and so does what lies between two of them.
struct Split {
    enum class Kind {
        regex,              // pieces that match `pattern`
        literal,            // pieces equal to `pattern`
        digits,             // runs of \p{N}
        individual_digits,  // each \p{N}
        byte_level,         // the expression of GPT-2
    };
    Kind kind;
    std::string pattern;

    bool operator==(const Split&) const = default;
};

/// The three expressions of DeepSeek-V3's tokenizer.json.
const std::vector<Split>& v3_splits();

class RegexSplitter;

class Pretokenizer {
  public:
    /// V3's sequence is recognised and runs on hand-written code; others run on PCRE2.
    /// Error(unsupported) names an expression that PCRE2 cannot compile.
    explicit Pretokenizer(std::vector<Split> splits);
    ~Pretokenizer();
    Pretokenizer(Pretokenizer&&) noexcept;
    Pretokenizer& operator=(Pretokenizer&&) noexcept;

    const std::vector<Split>& splits() const {
        return splits_;
    }

    /// Appends the pieces of `text`, in order; none is empty. Safe from several threads.
    void split(std::string_view text, std::vector<std::string_view>& pieces) const;

    /// A position ≥ `from` where `text` may be cut in two without changing any piece, so that long
    /// text can be worked on in parts; its end if none is known.
    size_t safe_cut(std::string_view text, size_t from) const;

  private:
    bool is_v3_;
    std::vector<Split> splits_;
    std::vector<std::unique_ptr<const RegexSplitter>> splitters_;  // one a split, unless is_v3_
};

}  // namespace hadal::text
