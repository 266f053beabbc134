// One isolating split by a regular expression, on PCRE2 with Unicode properties and its compiler to
// machine code. For the expressions of other models; DeepSeek-V3's run on v3_splitter.h.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "text/pretokenizer.h"

namespace hadal::text {

/// `pattern`, written for Oniguruma or Rust's regex as tokenizer.json files are, for PCRE2: \s as
/// Unicode's White_Space (PCRE2 would add U+180E), \p{Han} without script extensions, "[a&&[^b]]"
/// as a look-ahead.
std::string for_pcre2(std::string_view pattern);

class RegexSplitter {
  public:
    /// Error(unsupported) names the expression and what PCRE2 says of it.
    explicit RegexSplitter(const Split& split);
    ~RegexSplitter();
    RegexSplitter(const RegexSplitter&) = delete;
    RegexSplitter& operator=(const RegexSplitter&) = delete;

    /// Room for the matches of one thread.
    class Scratch {
      public:
        Scratch();
        ~Scratch();
        Scratch(const Scratch&) = delete;
        Scratch& operator=(const Scratch&) = delete;

      private:
        friend class RegexSplitter;
        void* data_;  // pcre2_match_data
    };

    /// Appends the matches in `text` and what lies between. Bytes that are not UTF-8 match nothing.
    void split(std::string_view text, Scratch& scratch,
               std::vector<std::string_view>& pieces) const;

  private:
    int match(std::string_view text, size_t from, Scratch& scratch) const;

    struct Code;
    std::unique_ptr<const Code> code_;
    std::string pattern_;  // as the file has it
};

}  // namespace hadal::text
