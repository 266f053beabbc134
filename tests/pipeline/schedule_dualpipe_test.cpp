#include "pipeline/schedule_dualpipe.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "pipeline/schedule_dualpipev.h"
#include "pipeline/support.h"

namespace hadal::pipeline {

using test::list_text;

namespace {

std::vector<Action> computations(const Schedule& schedule, int rank) {
    std::vector<Action> result;
    std::ranges::copy_if(schedule.actions[size_t(rank)], std::back_inserter(result),
                         [](const Action& action) { return !action.is_message(); });
    return result;
}

}  // namespace

TEST_CASE("dualpipe: the eight steps of the four ranks, by hand") {
    const Schedule schedule = schedule_dualpipe({.ranks = 4, .micro_batches = 8});
    // 2·F0; F0 F1; Bi1 W F1; F0&B1 F1&B0; B1 F1&B0; B1 Bi0; W Bi0; W
    CHECK(list_text(schedule, 0) ==
          "F0 F1 F2 F4' Bi4' W4' F5' F3&B5' F6'&B0 B6' F7'&B1 B7' Bi2 W2 Bi3 W3");
    // nothing; 2 times F0 F1; nothing; F0 B1 F1&B0, F0&B1 F1&B0; nothing; B1 B0, Bi1 Bi0; W W
    CHECK(list_text(schedule, 1) ==
          "F0 F4' F1 F5' F2 B4' F6'&B0 F3&B5' F7'&B1 B6' B2 Bi7' Bi3 W7' W3");
}

TEST_CASE("dualpipe: a rank is its mirror's image with the directions exchanged") {
    for (const int ranks : {2, 4, 8, 10}) {
        const int each_way = ranks + 3;
        const Schedule schedule =
            schedule_dualpipe({.ranks = ranks, .micro_batches = 2 * each_way});
        const auto turned = [each_way](const Chunk& chunk) {
            return Chunk{chunk.stage, (chunk.micro_batch + each_way) % (2 * each_way)};
        };
        for (int rank = 0; rank < ranks; ++rank) {
            CAPTURE(ranks);
            CAPTURE(rank);
            std::vector<Action> mirrored = computations(schedule, ranks - 1 - rank);
            for (Action& action : mirrored) {
                action.chunk = turned(action.chunk);
                if (action.kind == ActionKind::forward_backward) {
                    action.backward = turned(action.backward);
                }
            }
            CHECK(computations(schedule, rank) == mirrored);
        }
    }
}

TEST_CASE("dualpipe: rank 0 feeds the first half of the micro-batches, the last rank the others") {
    const Schedule schedule = schedule_dualpipe({.ranks = 4, .micro_batches = 12});
    for (int rank = 0; rank < 4; ++rank) {
        for (const Action& action : computations(schedule, rank)) {
            const bool first_way = action.chunk.micro_batch < 6;
            CHECK(action.chunk.stage == (first_way ? rank : 3 - rank));
        }
    }
}

TEST_CASE("dualpipev: one half of a dualpipe with twice the ranks and micro-batches") {
    for (const int ranks : {1, 2, 3, 5}) {
        const int micro_batches = 2 * ranks + 1;
        const Schedule half = schedule_dualpipev({.ranks = ranks, .micro_batches = micro_batches});
        const Schedule whole =
            schedule_dualpipe({.ranks = 2 * ranks, .micro_batches = 2 * micro_batches});
        const auto folded = [micro_batches](const Chunk& chunk) {
            return Chunk{chunk.stage, chunk.micro_batch % micro_batches};
        };
        for (int rank = 0; rank < ranks; ++rank) {
            CAPTURE(ranks);
            CAPTURE(rank);
            std::vector<Action> expected = computations(whole, rank);
            for (Action& action : expected) {
                action.chunk = folded(action.chunk);
                if (action.kind == ActionKind::forward_backward) {
                    action.backward = folded(action.backward);
                }
            }
            CHECK(computations(half, rank) == expected);
        }
    }
}

TEST_CASE("dualpipev: two ranks, by hand") {
    const Schedule schedule = schedule_dualpipev({.ranks = 2, .micro_batches = 4});
    CHECK(list_text(schedule, 0) ==
          "F0 F1 F2 F0' Bi0' W0' F1' F3&B1' F2'&B0 B2' F3'&B1 B3' Bi2 W2 Bi3 W3");
    CHECK(list_text(schedule, 1) ==
          "F0 F0' F1 F1' F2 B0' F2'&B0 F3&B1' F3'&B1 B2' B2 Bi3' Bi3 W3' W3");
}

}  // namespace hadal::pipeline
