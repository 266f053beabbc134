#include "infer/batch_scheduler.h"

#include <algorithm>

#include "core/error.h"

namespace hadal::infer {

namespace {

bool runs_before(const Sequence* a, const Sequence* b) {
    return a->priority != b->priority ? a->priority > b->priority : a->arrival < b->arrival;
}

PrefixTree::Path path_of(const Sequence& sequence, int64_t tokens) {
    return {.tokens = std::span(sequence.tokens).first(size_t(tokens)),
            .domain = sequence.domain,
            .expanded = sequence.expanded};
}

/// Leading positions for which pages of one may stand for pages of the other.
int64_t common_positions(const Sequence& a, const Sequence& b) {
    if (a.domain != b.domain) return 0;
    const int64_t tokens = std::ranges::mismatch(a.tokens, b.tokens).in1 - a.tokens.begin();
    return a.expanded == b.expanded ? tokens : std::min({tokens, a.expanded, b.expanded});
}

void insert_in_order(std::vector<Sequence*>& queue, Sequence* sequence) {
    queue.insert(std::ranges::upper_bound(queue, sequence, runs_before), sequence);
}

}  // namespace

int64_t Step::tokens() const {
    int64_t count = 0;
    for (const Run& run : runs) count += run.count;
    return count;
}

BatchScheduler::BatchScheduler(const SchedulerOptions& options)
    : options_(options), pool_(options.pages), prefixes_(pool_) {
    HADAL_ASSERT(options.max_sequences > 0 && options.max_step_tokens >= 2 * options.max_sequences);
}

int64_t BatchScheduler::most_tokens() const {
    return pool_.size() * kPageTokens - options_.lookahead;
}

void BatchScheduler::add(Sequence& sequence) {
    HADAL_ASSERT(!sequence.tokens.empty() && fits(sequence.most_tokens));
    sequence.arrival = ++arrivals_;
    insert_in_order(waiting_, &sequence);
}

void BatchScheduler::remove(Sequence& sequence) {
    release(sequence);
    std::erase(running_, &sequence);
    std::erase(waiting_, &sequence);
    std::erase_if(step_.runs, [&](const Run& run) { return run.sequence == &sequence; });
}

/// What is cached goes to the prefix tree, the last page too although it is not full: the next turn
/// of a conversation copies its rows.
void BatchScheduler::release(Sequence& sequence) {
    if (options_.share_prefixes && sequence.cached > 0) {
        const auto pages = size_t(pages_for(sequence.cached));
        prefixes_.insert(path_of(sequence, sequence.cached),
                         std::span(sequence.pages).first(pages));
    }
    for (const PageId page : sequence.pages) pool_.drop(page);
    sequence.pages.clear();
    sequence.cached = 0;
    sequence.reused = 0;
}

void BatchScheduler::clear_prefixes() {
    prefixes_.clear();
}

const Step& BatchScheduler::next() {
    step_.runs.clear();
    step_.copies.clear();
    step_.preempted = 0;
    rows_ = 0;
    schedule_generating();
    admit_waiting();
    schedule_prompts();
    return step_;
}

/// The last token is computed even if its row is cached: it decides. With MTP the row before a
/// reused prefix's end is computed again too: its hidden state belongs to the module's next row.
int64_t BatchScheduler::first_row(const Sequence& sequence) const {
    const bool begins = options_.lookahead > 0 && sequence.cached == sequence.reused;
    const int64_t wanted = sequence.cached - (begins && sequence.cached > 0 ? 1 : 0);
    return std::min(wanted, int64_t(sequence.tokens.size()) - 1);
}

/// Adds a run if there are pages for it.
bool BatchScheduler::plan(Sequence& sequence, int64_t rows) {
    const int64_t begin = first_row(sequence);
    if (!take_pages(sequence, begin + rows + options_.lookahead)) return false;
    step_.runs.push_back({&sequence, begin, rows});
    rows_ += rows;
    return true;
}

/// Gives the sequence pages for its first `positions` positions, if need be from the last of those
/// that run; false if it is the last itself: it then waits with what it has.
bool BatchScheduler::take_pages(Sequence& sequence, int64_t positions) {
    while (int64_t(sequence.pages.size()) < pages_for(positions)) {
        const PageId page = pool_.take();
        if (page != kNoPage) {
            sequence.pages.push_back(page);
        } else if (!prefixes_.evict()) {
            if (running_.empty() || running_.back() == &sequence) return false;
            preempt(*running_.back());
        }
    }
    return true;
}

void BatchScheduler::preempt(Sequence& sequence) {
    const auto mine = [&](const Run& run) { return run.sequence == &sequence; };
    for (const Run& run : step_.runs) rows_ -= mine(run) ? run.count : 0;
    std::erase_if(step_.runs, mine);
    std::erase_if(step_.copies, [&](const PageCopy& copy) {
        return std::ranges::find(sequence.pages, copy.to) != sequence.pages.end();
    });
    release(sequence);
    sequence.drafts.clear();
    std::erase(running_, &sequence);
    insert_in_order(waiting_, &sequence);
    ++step_.preempted;
}

/// One row each, and drafts where there is room for them.
void BatchScheduler::schedule_generating() {
    int64_t generating = std::ranges::count_if(
        running_, [](const Sequence* sequence) { return sequence->remaining() <= 1; });
    for (size_t i = 0; i < running_.size(); ++i) {  // preempting shortens it from the end
        Sequence& sequence = *running_[i];
        if (sequence.remaining() > 1) continue;
        const int64_t room = rows_left() - generating--;
        const int64_t drafts = std::clamp<int64_t>(room, 0, int64_t(sequence.drafts.size()));
        sequence.drafts.resize(size_t(drafts));
        plan(sequence, int64_t(sequence.tokens.size()) - first_row(sequence) + drafts);
    }
}

/// Every prompt in turn takes half of the rows that are left, at least a page's, so that short ones
/// do not wait for long ones; what then remains goes to the first.
void BatchScheduler::schedule_prompts() {
    struct Share {
        Sequence* sequence;
        int64_t rows;
    };
    const auto rows_of = [&](const Sequence& sequence) {
        return int64_t(sequence.tokens.size()) - first_row(sequence);
    };
    std::vector<Share> shares;
    int64_t room = rows_left();
    for (Sequence* sequence : running_) {
        if (sequence->remaining() <= 1 || room == 0) continue;
        const int64_t rows = std::min({rows_of(*sequence), std::max(kPageTokens, room / 2), room});
        shares.push_back({sequence, rows});
        room -= rows;
    }
    for (Share& share : shares) {
        const int64_t more = std::min(rows_of(*share.sequence) - share.rows, room);
        share.rows += more;
        room -= more;
    }
    for (const Share& share : shares) {
        const bool preempted = std::ranges::find(running_, share.sequence) == running_.end();
        if (!preempted) plan(*share.sequence, share.rows);
    }
}

/// Whether a running sequence is about to cache more of this prompt than the tree knows.
bool BatchScheduler::is_being_computed(const Sequence& sequence, int64_t known) const {
    if (!options_.share_prefixes || !sequence.reuse_prefix) return false;
    return std::ranges::any_of(running_, [&](const Sequence* other) {
        const int64_t common = common_positions(*other, sequence) / kPageTokens * kPageTokens;
        return common > known && other->cached < common;
    });
}

/// Whether so many pages can be had, taking them from sequences of lower priority if need be.
bool BatchScheduler::make_room_for(const Sequence& sequence, int64_t pages) {
    const auto enough = [&] {
        // A page for each that runs, so that it is not preempted at once for its next token.
        return pool_.free_pages() + pool_.idle_pages() >= pages + running();
    };
    while (!enough() && !running_.empty() && running_.back()->priority < sequence.priority) {
        preempt(*running_.back());
    }
    return enough() || (running_.empty() && pool_.free_pages() + pool_.idle_pages() >= pages);
}

/// Takes what the prefix tree knows of it; the rest of its pages it takes chunk by chunk.
BatchScheduler::Admission BatchScheduler::admit(Sequence& sequence) {
    PrefixTree::Match match;
    const bool reuse = options_.share_prefixes && sequence.reuse_prefix;
    if (reuse) match = prefixes_.find(path_of(sequence, int64_t(sequence.tokens.size())));
    const auto refuse = [&](Admission why) {
        for (const PageId page : match.pages) pool_.drop(page);
        if (match.partial != kNoPage) pool_.drop(match.partial);
        return why;
    };
    if (is_being_computed(sequence, match.tokens())) return refuse(Admission::waits_for_another);
    const int64_t pages = pages_for(int64_t(sequence.tokens.size()) + options_.lookahead);
    if (!make_room_for(sequence, pages - int64_t(match.pages.size()))) {
        return refuse(Admission::waits_for_memory);
    }
    sequence.cached = sequence.reused = match.tokens();
    sequence.pages = std::move(match.pages);
    std::erase(waiting_, &sequence);
    insert_in_order(running_, &sequence);
    if (match.partial != kNoPage) {
        const bool taken = take_pages(sequence, sequence.cached);
        HADAL_ASSERT(taken);
        step_.copies.push_back({match.partial, sequence.pages.back(), match.partial_tokens});
        pool_.drop(match.partial);
    }
    return Admission::admitted;
}

/// In order, and none before one that has to wait for memory.
void BatchScheduler::admit_waiting() {
    const std::vector<Sequence*> candidates = waiting_;
    for (Sequence* sequence : candidates) {
        if (running() >= options_.max_sequences || rows_left() == 0) return;
        const Admission admission = admit(*sequence);
        if (admission == Admission::waits_for_memory) return;
        const bool known = admission == Admission::admitted && sequence->remaining() <= 1;
        if (known) plan(*sequence, int64_t(sequence->tokens.size()) - first_row(*sequence));
    }
}

void BatchScheduler::advance(Sequence& sequence, int64_t cached) {
    HADAL_ASSERT(cached >= sequence.cached && cached <= int64_t(sequence.tokens.size()));
    const int64_t known = sequence.cached / kPageTokens, full = cached / kPageTokens;
    sequence.cached = cached;
    if (!options_.share_prefixes || full == known) return;
    prefixes_.insert(path_of(sequence, full * kPageTokens),
                     std::span(sequence.pages).first(size_t(full)));
}

}  // namespace hadal::infer
