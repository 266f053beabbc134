#include "pipeline/messages.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <tuple>

#include "pipeline/simulate.h"

namespace hadal::pipeline {

TEST_CASE("messages: two ranks and two micro-batches, by hand") {
    const Schedule schedule = make_schedule("1f1b", {.ranks = 2, .micro_batches = 2});
    using enum ActionKind;
    const auto message = [](ActionKind kind, Payload payload, Chunk chunk, int peer) {
        return Action{.kind = kind, .chunk = chunk, .payload = payload, .peer = peer};
    };
    const std::vector<Action> first = {
        {.kind = forward, .chunk = {0, 0}},
        message(send, Payload::activation, {0, 0}, 1),
        {.kind = forward, .chunk = {0, 1}},
        message(send, Payload::activation, {0, 1}, 1),
        message(receive, Payload::gradient, {1, 0}, 1),
        {.kind = backward, .chunk = {0, 0}},
        message(receive, Payload::gradient, {1, 1}, 1),
        {.kind = backward, .chunk = {0, 1}},
    };
    CHECK(schedule.actions[0] == first);
    // The second activation is made while rank 1 runs backward: received after it began, so that
    // rank 0, which sends it, goes on.
    const std::vector<Action> second = {
        message(receive, Payload::activation, {0, 0}, 0),
        {.kind = forward, .chunk = {1, 0}},
        message(receive, Payload::activation, {0, 1}, 0),
        {.kind = backward, .chunk = {1, 0}},
        message(send, Payload::gradient, {1, 0}, 0),
        {.kind = forward, .chunk = {1, 1}},
        {.kind = backward, .chunk = {1, 1}},
        message(send, Payload::gradient, {1, 1}, 0),
    };
    CHECK(schedule.actions[1] == second);
}

TEST_CASE("messages: two ranks exchange theirs in one order") {
    for (const ScheduleKind& kind : schedule_kinds()) {
        CAPTURE(kind.name);
        const Schedule schedule = kind.make({.ranks = 6, .micro_batches = 18});
        using Pair = std::tuple<int, int>;
        std::map<Pair, std::vector<std::tuple<Payload, Chunk>>> seen;  // by (rank, peer)
        for (int rank = 0; rank < schedule.ranks; ++rank) {
            for (const Action& action : schedule.actions[size_t(rank)]) {
                if (action.is_message()) {
                    seen[{rank, action.peer}].emplace_back(action.payload, action.chunk);
                }
            }
        }
        CHECK(!seen.empty());
        for (const auto& [ranks, messages] : seen) {
            CHECK(seen[{std::get<1>(ranks), std::get<0>(ranks)}] == messages);
        }
    }
}

TEST_CASE("messages: none between stages of one rank, and they change no computation's place") {
    const Schedule schedule = make_schedule("zb-v", {.ranks = 3, .micro_batches = 6});
    Schedule bare = schedule;
    for (auto& actions : bare.actions) {
        for (const Action& action : actions) {
            if (action.is_message()) CHECK(schedule.actions[size_t(action.peer)] != actions);
        }
        std::erase_if(actions, [](const Action& action) { return action.is_message(); });
    }
    const auto sends = std::ranges::count(schedule.actions[2], ActionKind::send, &Action::kind);
    CHECK(sends == 2 * 6);  // down from rank 1 and back up again; stages 2 and 3 share the rank
    CHECK(simulate(bare, Timing()).makespan == simulate(schedule, Timing()).makespan);
    add_messages(bare);
    CHECK(bare.actions == schedule.actions);
}

}  // namespace hadal::pipeline
