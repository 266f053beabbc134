#include "infer/prompt_lookup.h"

#include <algorithm>

#include "core/random.h"

namespace hadal::infer {

namespace {

/// A key of the tokens before `position`. Two runs may share one: the guess is then wrong, no more.
uint64_t key_of(std::span<const int32_t> tokens, int64_t position, int64_t length) {
    uint64_t key = 0;
    for (int64_t i = position - length; i < position; ++i) {
        key = mix_bits(key + uint64_t(uint32_t(tokens[size_t(i)])) + 1);
    }
    return key;
}

}  // namespace

std::vector<int32_t> PromptLookup::guess(std::span<const int32_t> tokens, int64_t count) {
    const auto end = int64_t(tokens.size());
    for (; entered_ < end; ++entered_) after_[key_of(tokens, entered_, kLength)] = entered_;
    if (end < kLength) return {};
    const auto found = after_.find(key_of(tokens, end, kLength));
    if (found == after_.end()) return {};
    const auto follow = tokens.subspan(size_t(found->second));
    return {follow.begin(), follow.begin() + std::min(count, int64_t(follow.size()))};
}

}  // namespace hadal::infer
