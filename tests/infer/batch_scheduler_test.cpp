#include "infer/batch_scheduler.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <map>
#include <memory>

#include "core/random.h"

using namespace hadal;
using namespace hadal::infer;

namespace {

/// Stands for the model: a row's "bits" are a digest of the tokens up to it, a page is 64 of them,
/// and the next token follows from the last row. Everything that a wrong page, a missed copy or a
/// shared write would spoil is compared in every step.
class FakeEngine {
  public:
    FakeEngine(const SchedulerOptions& options, uint64_t seed)
        : options_(options),
          scheduler(options),
          rows_(size_t(options.pages * kPageTokens), 0),
          next_rows_(rows_),
          random_(seed) {}

    static uint64_t digest(std::span<const int32_t> tokens) {
        uint64_t hash = 7;
        for (const int32_t token : tokens) hash = mix_bits(hash + uint64_t(token) + 1);
        return hash;
    }
    static int32_t next_token(uint64_t row) {
        return int32_t(row % 5);
    }

    Sequence& submit(std::vector<int32_t> prompt, int64_t new_tokens, int priority = 0) {
        auto& sequence = *sequences.emplace_back(std::make_unique<Sequence>());
        sequence.id = ++ids_;
        sequence.priority = priority;
        sequence.most_tokens = int64_t(prompt.size()) + new_tokens;
        sequence.tokens = std::move(prompt);
        scheduler.add(sequence);
        return sequence;
    }

    void finish(Sequence& sequence) {
        scheduler.remove(sequence);
        finished[sequence.id] = sequence.tokens;
        std::erase_if(sequences, [&](const auto& owned) { return owned.get() == &sequence; });
    }

    /// One step; false if there was nothing to run.
    bool step() {
        const Step step = scheduler.next();
        preempted += step.preempted;
        REQUIRE(step.tokens() <= options_.max_step_tokens);
        REQUIRE(int64_t(step.runs.size()) <= options_.max_sequences);
        check_holders();
        for (const PageCopy& copy : step.copies) {
            for (auto* rows : {&rows_, &next_rows_}) {
                std::copy_n(rows->begin() + copy.from * kPageTokens, copy.rows,
                            rows->begin() + copy.to * kPageTokens);
            }
        }
        for (const Run& run : step.runs) check_cached(run);
        for (const Run& run : step.runs) write(run);
        for (const Run& run : step.runs) follow(run);
        return !step.runs.empty();
    }

    SchedulerOptions options_;
    BatchScheduler scheduler;
    std::list<std::unique_ptr<Sequence>> sequences;
    std::map<uint64_t, std::vector<int32_t>> finished;
    int64_t preempted = 0;
    int64_t computed_rows = 0;

  private:
    uint64_t& at(std::vector<uint64_t>& rows, const Sequence& sequence, int64_t position) {
        const PageId page = sequence.pages.at(size_t(position / kPageTokens));
        return rows[size_t(page * kPageTokens + position % kPageTokens)];
    }

    void check_holders() {
        std::map<PageId, int32_t> holders;
        for (const auto& sequence : sequences) {
            for (const PageId page : sequence->pages) ++holders[page];
        }
        int64_t in_use = 0, extra = 0;
        for (PageId page = 0; page < scheduler.pool().size(); ++page) {
            const int32_t more = scheduler.pool().holders(page) - holders[page];
            REQUIRE((more == 0 || more == 1));  // the tree
            extra += more;
            in_use += scheduler.pool().holders(page) > 0 ? 1 : 0;
        }
        REQUIRE(extra == scheduler.prefixes().pages());
        REQUIRE(in_use + scheduler.pool().free_pages() == scheduler.pool().size());
    }

    void check_cached(const Run& run) {
        const auto& tokens = run.sequence->tokens;
        const int64_t cached = std::min(run.sequence->cached, int64_t(tokens.size()));
        for (int64_t i = 0; i < cached; ++i) {
            const uint64_t expected = digest(std::span(tokens).first(size_t(i + 1)));
            REQUIRE(at(rows_, *run.sequence, i) == expected);
            // The MTP row of a position depends on the row before and its own token.
            if (options_.lookahead > 0 && i > 0) {
                REQUIRE(at(next_rows_, *run.sequence, i) == expected + 1);
            }
        }
    }

    std::vector<int32_t> with_drafts(const Sequence& sequence) {
        auto tokens = sequence.tokens;
        tokens.insert(tokens.end(), sequence.drafts.begin(), sequence.drafts.end());
        return tokens;
    }

    void write(const Run& run) {
        Sequence& sequence = *run.sequence;
        const auto tokens = with_drafts(sequence);
        REQUIRE(run.begin + run.count <= int64_t(tokens.size()));
        REQUIRE(run.count > 0);
        REQUIRE(int64_t(sequence.pages.size()) >=
                pages_for(run.begin + run.count + options_.lookahead));
        for (int64_t i = sequence.cached; i < run.begin + run.count; ++i) {
            REQUIRE(scheduler.pool().holders(sequence.pages[size_t(i / kPageTokens)]) == 1);
            at(rows_, sequence, i) = digest(std::span(tokens).first(size_t(i + 1)));
        }
        computed_rows += run.count;
    }

    void follow(const Run& run) {
        Sequence& sequence = *run.sequence;
        const bool decides = run.decides();
        int64_t last = run.begin + run.count - 1;  // the last right row
        if (decides) {
            const auto tokens = with_drafts(sequence);
            last = int64_t(sequence.tokens.size()) - 1;
            sequence.drafts.clear();
            for (;;) {
                const uint64_t row = digest(std::span(tokens).first(size_t(last + 1)));
                sequence.tokens.push_back(next_token(row));
                const bool accepted = last + 1 < run.begin + run.count &&
                                      tokens[size_t(last + 1)] == sequence.tokens.back() &&
                                      int64_t(sequence.tokens.size()) < sequence.most_tokens;
                if (!accepted) break;
                ++last;
            }
        }
        if (options_.lookahead > 0) {
            for (int64_t i = run.begin; i <= last; ++i) {
                const uint64_t row = digest(std::span(sequence.tokens).first(size_t(i + 2))) + 1;
                uint64_t& stored = at(next_rows_, sequence, i + 1);
                if (i + 1 >= sequence.cached) {
                    stored = row;
                } else {
                    REQUIRE(stored == row);
                }
            }
        }
        scheduler.advance(sequence, last + 1);
        if (int64_t(sequence.tokens.size()) >= sequence.most_tokens) {
            finish(sequence);
        } else if (decides) {
            propose(sequence);
        }
    }

    /// Drafts, right and wrong ones.
    void propose(Sequence& sequence) {
        auto tokens = sequence.tokens;
        for (int64_t k = 0; k + 1 < options_.lookahead; ++k) {
            const int32_t right = next_token(digest(tokens));
            sequence.drafts.push_back(random_.below(3) > 0 ? right : right + 1);
            tokens.push_back(sequence.drafts.back());
        }
    }

    std::vector<uint64_t> rows_;       // main layers, by page
    std::vector<uint64_t> next_rows_;  // the MTP layer
    RandomSequence random_;
    uint64_t ids_ = 0;
};

std::vector<int32_t> tokens_of(int64_t count, int32_t letter) {
    std::vector<int32_t> tokens;
    for (int64_t i = 0; i < count; ++i) tokens.push_back(int32_t((i * 7 + letter) % 11));
    return tokens;
}

/// What the fake model says alone.
std::vector<int32_t> expected_text(std::vector<int32_t> tokens, int64_t most_tokens) {
    while (int64_t(tokens.size()) < most_tokens) {
        tokens.push_back(FakeEngine::next_token(FakeEngine::digest(tokens)));
    }
    return tokens;
}

}  // namespace

TEST_CASE("scheduler: a long prompt is cut, and generating sequences come first") {
    FakeEngine engine({.pages = 64, .max_sequences = 4, .max_step_tokens = 128}, 1);
    engine.submit(tokens_of(10, 0), 20);
    REQUIRE(engine.step());
    Sequence& long_prompt = engine.submit(tokens_of(500, 3), 4);
    const Step step = engine.scheduler.next();
    REQUIRE(step.runs.size() == 2);
    CHECK(step.runs[0].count == 1);
    CHECK(step.runs[1].sequence == &long_prompt);
    CHECK(step.runs[1].count == 127);
}

TEST_CASE("scheduler: a short prompt does not wait for a long one") {
    FakeEngine engine({.pages = 64, .max_sequences = 4, .max_step_tokens = 256}, 1);
    engine.submit(tokens_of(2000, 0), 4);
    Sequence& short_prompt = engine.submit(tokens_of(40, 5), 4);
    engine.step();
    CHECK(short_prompt.tokens.size() == 41);
}

TEST_CASE("scheduler: higher priority runs first and takes pages from lower") {
    FakeEngine engine({.pages = 4, .max_sequences = 4, .max_step_tokens = 128}, 1);
    Sequence& low = engine.submit(tokens_of(150, 0), 90, 0);
    engine.step();
    engine.step();
    CHECK(low.pages.size() == 3);
    Sequence& high = engine.submit(tokens_of(120, 1), 60, 1);
    engine.step();
    CHECK(low.pages.empty());
    CHECK(high.tokens.size() == 121);
    CHECK(engine.preempted == 1);
    while (engine.step()) {
    }
    CHECK(engine.finished[1] == expected_text(tokens_of(150, 0), 240));
}

TEST_CASE("scheduler: a conversation's next turn computes its new tokens only") {
    FakeEngine engine({.pages = 32, .max_sequences = 4, .max_step_tokens = 512}, 1);
    engine.submit(tokens_of(200, 0), 100);
    while (engine.step()) {
    }
    auto turn = engine.finished[1];
    const auto known = int64_t(turn.size());
    for (int32_t i = 0; i < 30; ++i) turn.push_back(i % 3);
    const int64_t before = engine.computed_rows;
    engine.submit(turn, 1);
    engine.step();
    // The last token of the first turn too, whose row was never needed.
    CHECK(engine.computed_rows - before == int64_t(turn.size()) - (known - 1));
}

TEST_CASE("scheduler: requests with one prompt compute it once") {
    FakeEngine engine({.pages = 64, .max_sequences = 8, .max_step_tokens = 256}, 1);
    for (int i = 0; i < 6; ++i) engine.submit(tokens_of(640, 0), 2);
    while (engine.step()) {
    }
    CHECK(engine.finished.size() == 6);
    // The prompt once, the other five its last token; then one generated token's row each.
    CHECK(engine.computed_rows == 640 + 5 + 6);
}

TEST_CASE("scheduler: says what can never fit") {
    const BatchScheduler scheduler(
        {.pages = 4, .max_sequences = 2, .max_step_tokens = 16, .lookahead = 2});
    CHECK(scheduler.fits(254));
    CHECK_FALSE(scheduler.fits(255));
}

TEST_CASE("scheduler: whatever is submitted, cancelled and preempted, every text is as if alone") {
    for (uint64_t seed = 0; seed < 40; ++seed) {
        CAPTURE(seed);
        RandomSequence random(seed);
        const int64_t lookahead = int64_t(random.below(2)) * int64_t(1 + random.below(3));
        const int64_t max_sequences = int64_t(2 + random.below(6));
        FakeEngine engine({.pages = int64_t(6 + random.below(12)),
                           .max_sequences = max_sequences,
                           .max_step_tokens = 2 * max_sequences + int64_t(random.below(200)),
                           .lookahead = lookahead,
                           .share_prefixes = random.below(4) > 0},
                          seed);
        std::map<uint64_t, std::vector<int32_t>> expected;
        for (int round = 0; round < 300; ++round) {
            const uint64_t action = random.below(10);
            if (action < 2 && engine.sequences.size() < 12) {
                auto prompt = tokens_of(int64_t(1 + random.below(220)), int32_t(random.below(2)));
                if (random.below(2) == 0) prompt.back() = 12;
                const auto more = int64_t(1 + random.below(100));
                if (!engine.scheduler.fits(int64_t(prompt.size()) + more)) continue;
                const int64_t most = int64_t(prompt.size()) + more;
                const Sequence& sequence = engine.submit(prompt, more, int(random.below(3)));
                expected[sequence.id] = expected_text(prompt, most);
            } else if (action == 2 && !engine.sequences.empty() && random.below(4) == 0) {
                auto victim = engine.sequences.begin();
                std::advance(victim, random.below(engine.sequences.size()));
                expected.erase((*victim)->id);
                Sequence& sequence = **victim;
                engine.finish(sequence);
            } else {
                engine.step();
            }
        }
        for (int64_t steps = 0; !engine.sequences.empty(); ++steps) {
            REQUIRE(engine.step());
            REQUIRE(steps < 100000);
        }
        for (const auto& [id, text] : expected) {
            CAPTURE(id);
            CHECK(engine.finished[id] == text);
        }
        CHECK(engine.scheduler.pool().free_pages() + engine.scheduler.pool().idle_pages() ==
              engine.scheduler.pool().size());
    }
}
