// Guesses from the text itself, for models without an MTP module: what followed the last three
// tokens when they came before. Good where an answer repeats its prompt: code that is edited, texts
// that are quoted.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

namespace hadal::infer {

class PromptLookup {
  public:
    /// What followed the latest earlier place of the last three of `tokens`, at most `count`
    /// tokens; nothing if there is none. `tokens` must begin with those of the call before.
    std::vector<int32_t> guess(std::span<const int32_t> tokens, int64_t count);

  private:
    static constexpr int64_t kLength = 3;

    std::unordered_map<uint64_t, int64_t> after_;  // three tokens → the position behind them
    int64_t entered_ = kLength;                    // positions entered: those below
};

}  // namespace hadal::infer
