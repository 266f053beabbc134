#include "serve/thought_limit.h"

#include <algorithm>

namespace hadal::serve {

bool ThoughtLimit::take(int32_t id) {
    if (id == options_.end) {
        thinks_ = false;
    } else if (id == options_.begin) {
        thinks_ = true;
    } else if (thinks_) {
        ++count_;
    }
    return !reached();
}

std::optional<infer::Request> behind_thoughts(infer::Request first,
                                              const infer::RequestResult& thoughts, int32_t end) {
    const int64_t used = int64_t(thoughts.tokens.size()) + 1;
    if (first.max_new_tokens <= used) return {};
    infer::Request rest = std::move(first);
    rest.prompt.insert(rest.prompt.end(), thoughts.tokens.begin(), thoughts.tokens.end());
    rest.prompt.push_back(end);
    rest.max_new_tokens -= used;
    rest.min_new_tokens = std::max<int64_t>(rest.min_new_tokens - used, 0);
    if (rest.grammar_after == end) rest.grammar_after.reset();
    return rest;
}

infer::RequestResult joined(const infer::RequestResult& thoughts, int32_t end,
                            const infer::RequestResult& rest) {
    infer::RequestResult both = thoughts;
    both.tokens.push_back(end);
    both.tokens.insert(both.tokens.end(), rest.tokens.begin(), rest.tokens.end());
    both.finish_reason = rest.finish_reason;
    both.error = rest.error;
    both.draft_tokens += rest.draft_tokens;
    both.accepted_tokens += rest.accepted_tokens;
    both.preemptions += rest.preemptions;
    both.decode_seconds += rest.queue_seconds + rest.prefill_seconds + rest.decode_seconds;
    return both;
}

}  // namespace hadal::serve
