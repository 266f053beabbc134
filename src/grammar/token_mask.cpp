#include "grammar/token_mask.h"

#include <algorithm>

namespace hadal::grammar {

Vocabulary::Vocabulary(std::vector<std::string> tokens) : tokens_(std::move(tokens)) {
    for (size_t id = 0; id < tokens_.size(); ++id) {
        if (!tokens_[id].empty()) entries_.push_back({int32_t(id), 0});
    }
    std::ranges::sort(entries_, {}, [this](const Entry& entry) { return bytes(entry.id); });
    for (size_t i = 1; i < entries_.size(); ++i) {
        const std::string_view before = bytes(entries_[i - 1].id), here = bytes(entries_[i].id);
        entries_[i].shared = size_t(std::ranges::mismatch(before, here).in1 - before.begin());
    }
}

TokenMasks::TokenMasks(std::shared_ptr<const Vocabulary> vocabulary, Automaton automaton)
    : vocabulary_(std::move(vocabulary)), matcher_(std::move(automaton)) {}

std::shared_ptr<const TokenMask> TokenMasks::mask(Position position) {
    const std::lock_guard lock(mutex_);
    if (const auto known = kept_.find(position); known != kept_.end()) {
        known->second.used = ++time_;
        return known->second.mask;
    }
    if (kept_.size() >= kKept) {
        kept_.erase(std::ranges::min_element(kept_, {},
                                             [](const auto& entry) { return entry.second.used; }));
    }
    auto mask = std::make_shared<const TokenMask>(compute(position));
    kept_[position] = {mask, ++time_};
    return mask;
}

/// Walks the entries in order; what two neighbours share is matched once, and all that begin like a
/// beginning that is not allowed are passed over.
TokenMask TokenMasks::compute(Position position) {
    TokenMask mask(size_t((vocabulary_->size() + 63) / 64), 0);
    std::vector<Position> path = {position};  // after 0, 1, … bytes of the entry
    size_t dead = SIZE_MAX;                   // entries that share so many bytes are not allowed
    for (const auto& entry : vocabulary_->entries_) {
        if (entry.shared >= dead) continue;
        dead = SIZE_MAX;
        path.resize(entry.shared + 1);
        const std::string_view bytes = vocabulary_->bytes(entry.id);
        for (size_t i = entry.shared; i < bytes.size(); ++i) {
            const Position next = matcher_.next(path.back(), uint8_t(bytes[i]));
            if (next == kDead) {
                dead = i + 1;
                break;
            }
            path.push_back(next);
        }
        if (dead == SIZE_MAX) mask[size_t(entry.id / 64)] |= uint64_t(1) << entry.id % 64;
    }
    return mask;
}

Position TokenMasks::next(Position position, std::string_view bytes) {
    const std::lock_guard lock(mutex_);
    for (const char byte : bytes) {
        if (position == kDead) return kDead;
        position = matcher_.next(position, uint8_t(byte));
    }
    return position;
}

bool TokenMasks::may_end(Position position) {
    const std::lock_guard lock(mutex_);
    return matcher_.may_end(position);
}

bool TokenMasks::must_end(Position position) {
    const std::lock_guard lock(mutex_);
    return matcher_.must_end(position);
}

}  // namespace hadal::grammar
