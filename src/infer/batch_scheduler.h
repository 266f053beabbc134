// Which rows of which sequences run in the next step, and on which pages. docs/engine.md, "A step"
// and "When memory ends". Pure bookkeeping: it never sees a tensor.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "infer/page_pool.h"
#include "infer/prefix_tree.h"
#include "infer/sequence.h"

namespace hadal::infer {

struct SchedulerOptions {
    int64_t pages = 0;              // of the cache
    int64_t max_sequences = 64;     // that hold pages at one time
    int64_t max_step_tokens = 512;  // rows of a step; at least 2·max_sequences
    /// Positions behind a run's last that the step also writes: MTP's row of the next token, and
    /// deeper drafts.
    int64_t lookahead = 0;
    bool share_prefixes = true;
};

/// Consecutive rows of one sequence in a step: positions begin … begin + count − 1. Those below
/// sequence->cached are computed again for their result and not written.
struct Run {
    Sequence* sequence;
    int64_t begin;
    int64_t count;  // drafts included

    /// Whether its last rows decide tokens.
    bool decides() const {
        return begin + count >= int64_t(sequence->tokens.size());
    }
};

/// The first `rows` rows of one page, to be copied to another before the step.
struct PageCopy {
    PageId from;
    PageId to;
    int64_t rows;
};

struct Step {
    std::vector<Run> runs;
    std::vector<PageCopy> copies;
    int64_t preempted = 0;  // sequences that lost their pages to make it possible

    int64_t tokens() const;
};

class BatchScheduler {
  public:
    explicit BatchScheduler(const SchedulerOptions& options);

    /// Whether a sequence of so many tokens could ever finish.
    bool fits(int64_t tokens) const {
        return tokens <= most_tokens();
    }
    /// Tokens of the longest sequence that could.
    int64_t most_tokens() const;
    /// Queues a sequence, which must fit and stay where it is until it is removed.
    void add(Sequence& sequence);
    /// Finished or cancelled, running or waiting: its pages go back.
    void remove(Sequence& sequence);

    /// Plans a step; no runs if nothing is queued. The result is valid until the next call.
    const Step& next();
    /// After a step: positions up to `cached` of the sequence are true rows of its tokens.
    void advance(Sequence& sequence, int64_t cached);

    int64_t max_step_tokens() const {
        return options_.max_step_tokens;
    }
    const PagePool& pool() const {
        return pool_;
    }
    const PrefixTree& prefixes() const {
        return prefixes_;
    }
    int64_t running() const {
        return int64_t(running_.size());
    }
    int64_t waiting() const {
        return int64_t(waiting_.size());
    }
    /// Forgets shared prefixes that no sequence uses.
    void clear_prefixes();

  private:
    enum class Admission { admitted, waits_for_another, waits_for_memory };

    int64_t rows_left() const {
        return options_.max_step_tokens - rows_;
    }
    int64_t first_row(const Sequence& sequence) const;
    bool plan(Sequence& sequence, int64_t rows);
    bool take_pages(Sequence& sequence, int64_t positions);
    void preempt(Sequence& sequence);
    void release(Sequence& sequence);
    void schedule_generating();
    void schedule_prompts();
    void admit_waiting();
    Admission admit(Sequence& sequence);
    bool make_room_for(const Sequence& sequence, int64_t pages);
    bool is_being_computed(const Sequence& sequence, int64_t known) const;

    SchedulerOptions options_;
    PagePool pool_;
    PrefixTree prefixes_;
    std::vector<Sequence*> running_;  // both in order: priority, then arrival
    std::vector<Sequence*> waiting_;
    Step step_;
    int64_t rows_ = 0;  // of step_
    uint64_t arrivals_ = 0;
};

}  // namespace hadal::infer
