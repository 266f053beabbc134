// Makespans and idle times that an independent simulation of the published step tables gave, with
// messages that cost nothing.
#include <doctest/doctest.h>

#include <algorithm>

#include "pipeline/simulate.h"

namespace hadal::pipeline {

namespace {

struct Case {
    int ranks, micro_batches;
    double makespan, idle;
};

constexpr Case kDualPipe[] = {{8, 20, 66, 6}, {4, 8, 26, 2}, {16, 32, 110, 14}, {2, 4, 12, 0}};

Timeline dualpipe(int ranks, int micro_batches, double overlapped) {
    const Schedule schedule =
        make_schedule("dualpipe", {.ranks = ranks, .micro_batches = micro_batches});
    return simulate(schedule, {.stages = {{.overlapped = overlapped}}});
}

}  // namespace

TEST_CASE("dualpipe: makespan and idle time for F=1, B=2, W=1, F&B=3, the same on every rank") {
    for (const Case& c : kDualPipe) {
        CAPTURE(c.ranks);
        const Timeline timeline = dualpipe(c.ranks, c.micro_batches, 3);
        CHECK(timeline.makespan == c.makespan);
        for (const double idle : timeline.idle) CHECK(idle == c.idle);
        CHECK(find_schedule("dualpipe").bubble(c.ranks, StageTimes()) == c.idle);
        for (const int peak : timeline.peak_activations) CHECK(peak == c.ranks + 1);
    }
}

TEST_CASE("dualpipe: F&B=2.5 on 8 ranks; the middle gains by its first pair, which runs apart") {
    const Timeline timeline = dualpipe(8, 20, 2.5);
    CHECK(timeline.makespan == 59);
    CHECK(std::ranges::min(timeline.idle) == 3.5);
    CHECK(std::ranges::max(timeline.idle) == 4.5);
    CHECK(find_schedule("dualpipe").bubble(8, {.overlapped = 2.5}) == 4.5);
}

TEST_CASE("dualpipe: the counts of the eight steps on 8 ranks with 20 micro-batches") {
    // Rank a: pairs 2·(n−R+a+1) + (H−a−1), one of them apart on the middle ranks.
    const Schedule schedule = make_schedule("dualpipe", {.ranks = 8, .micro_batches = 20});
    const int pairs[] = {9, 10, 11, 11}, deferred[] = {7, 6, 5, 4};
    for (int rank = 0; rank < 8; ++rank) {
        CAPTURE(rank);
        const auto count = [&](ActionKind kind) {
            return std::ranges::count(schedule.actions[size_t(rank)], kind, &Action::kind);
        };
        const int from_end = std::min(rank, 7 - rank);
        CHECK(count(ActionKind::forward_backward) == pairs[from_end]);
        CHECK(count(ActionKind::backward_weight) == deferred[from_end]);
        CHECK(count(ActionKind::backward_input) == deferred[from_end]);
        CHECK(count(ActionKind::forward) == 20 - pairs[from_end]);
    }
}

TEST_CASE("dualpipev: half the ranks, the same bubble and memory as dualpipe of as many stages") {
    for (const Case& c : kDualPipe) {
        CAPTURE(c.ranks);
        const Schedule schedule =
            make_schedule("dualpipev", {.ranks = c.ranks / 2, .micro_batches = c.micro_batches});
        const Timeline timeline = simulate(schedule, Timing());
        for (const double idle : timeline.idle) CHECK(idle == c.idle);
        for (const int peak : timeline.peak_activations) CHECK(peak == c.ranks + 1);
        CHECK(schedule.weight_copies() == 1);
    }
}

TEST_CASE("zb-h1: bubble (PP−1)(F+B−2W) on the ranks that finish last, PP live micro-batches") {
    for (const int ranks : {2, 3, 4, 8, 16}) {
        CAPTURE(ranks);
        const Schedule schedule =
            make_schedule("zb1p", {.ranks = ranks, .micro_batches = 3 * ranks});
        const Timeline timeline = simulate(schedule, Timing());
        for (const double idle : timeline.idle) CHECK(idle == ranks - 1);
        for (const int peak : timeline.peak_activations) CHECK(peak == ranks);
    }
}

TEST_CASE("interleaved: the bubble of 1f1b, in stages that are shorter") {
    for (const int per_rank : {1, 2, 4}) {
        for (const int ranks : {2, 3, 8}) {
            CAPTURE(per_rank);
            CAPTURE(ranks);
            const Schedule schedule = make_schedule(
                "interleaved",
                {.ranks = ranks, .micro_batches = 2 * ranks, .stages_per_rank = per_rank});
            const Timeline timeline = simulate(schedule, Timing());
            for (const double idle : timeline.idle) CHECK(idle == (ranks - 1) * 3);
        }
    }
}

TEST_CASE(
    "zb-v: little more idle time than until the last rank's first work, 2·ranks live chunks") {
    for (const int ranks : {1, 2, 3, 4, 5, 6, 7, 8, 12, 16}) {
        for (const int micro_batches : {ranks, 2 * ranks, 2 * ranks + 1, 4 * ranks, 5 * ranks}) {
            CAPTURE(ranks);
            CAPTURE(micro_batches);
            const Schedule schedule =
                make_schedule("zb-v", {.ranks = ranks, .micro_batches = micro_batches});
            const Timeline timeline = simulate(schedule, Timing());
            CHECK(timeline.idle[0] >= ranks - 1);
            CHECK(timeline.idle[0] <= ranks - 1 + (ranks + 1) / 3);
            for (const int peak : timeline.peak_activations) CHECK(peak <= 2 * ranks);
        }
    }
}

}  // namespace hadal::pipeline
