#include "pipeline/check.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>

namespace hadal::pipeline {

namespace {

Schedule sample() {
    return make_schedule("dualpipe", {.ranks = 4, .micro_batches = 8});
}

std::vector<Action>::iterator find(std::vector<Action>& actions, ActionKind kind) {
    const auto found = std::ranges::find(actions, kind, &Action::kind);
    REQUIRE(found != actions.end());
    return found;
}

/// The complaints about the sample after one change of a rank's list.
std::string complaints(const std::function<void(std::vector<Action>&)>& change, int rank = 0) {
    Schedule schedule = sample();
    change(schedule.actions[size_t(rank)]);
    std::string all;
    for (const std::string& problem : problems(schedule)) all += problem + "\n";
    return all;
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("check: each missing action is found") {
    for (const ActionKind kind :
         {ActionKind::forward, ActionKind::backward, ActionKind::backward_input,
          ActionKind::backward_weight, ActionKind::forward_backward, ActionKind::send,
          ActionKind::receive}) {
        CAPTURE(symbol(kind));
        CHECK(complaints([kind](auto& actions) { actions.erase(find(actions, kind)); }) != "");
    }
}

TEST_CASE("check: an action that comes twice is found") {
    CHECK(contains(complaints([](auto& a) { a.push_back(*find(a, ActionKind::forward)); }),
                   "a second time"));
    CHECK(contains(complaints([](auto& a) { a.push_back(*find(a, ActionKind::send)); }),
                   "a second time"));
}

TEST_CASE("check: an action before what it needs is found") {
    CHECK(contains(complaints([](auto& a) { std::ranges::rotate(a, a.end() - 1); }),
                   "weight gradient before input gradient"));
    CHECK(contains(complaints([](auto& a) { std::ranges::reverse(a); }), "is not here for"));
    CHECK(contains(complaints([](auto& a) { std::swap(a[0], *find(a, ActionKind::send)); }),
                   "send before it is made"));
}

TEST_CASE("check: work and messages of another rank are found") {
    CHECK(contains(complaints([](auto& a) { find(a, ActionKind::forward)->chunk.stage = 1; }),
                   "another rank's"));
    CHECK(
        contains(complaints([](auto& a) { find(a, ActionKind::send)->peer = 2; }), "wrong ranks"));
    CHECK(contains(complaints([](auto& a) { find(a, ActionKind::forward)->chunk.stage = 9; }),
                   "no such chunk"));
}

TEST_CASE("check: lists that are complete but wait for each other are found") {
    // Both ranks send before they receive: fine with buffers, a deadlock without.
    Schedule schedule = make_schedule("1f1b", {.ranks = 2, .micro_batches = 2});
    const auto message = [](ActionKind kind, Payload payload, Chunk chunk, int peer) {
        return Action{.kind = kind, .chunk = chunk, .payload = payload, .peer = peer};
    };
    using enum ActionKind;
    const auto compute = [](ActionKind kind, Chunk chunk) {
        return Action{.kind = kind, .chunk = chunk};
    };
    schedule.actions[0] = {compute(forward, {0, 0}),
                           message(send, Payload::activation, {0, 0}, 1),
                           compute(forward, {0, 1}),
                           message(send, Payload::activation, {0, 1}, 1),
                           message(receive, Payload::gradient, {1, 0}, 1),
                           compute(backward, {0, 0}),
                           message(receive, Payload::gradient, {1, 1}, 1),
                           compute(backward, {0, 1})};
    schedule.actions[1] = {message(receive, Payload::activation, {0, 0}, 0),
                           compute(forward, {1, 0}),
                           compute(backward, {1, 0}),
                           message(send, Payload::gradient, {1, 0}, 0),
                           message(receive, Payload::activation, {0, 1}, 0),
                           compute(forward, {1, 1}),
                           compute(backward, {1, 1}),
                           message(send, Payload::gradient, {1, 1}, 0)};
    const auto found = problems(schedule);
    REQUIRE(found.size() == 2);
    CHECK(contains(found[0], "waits for ever at action 3"));
    CHECK(contains(found[1], "waits for ever at action 3"));
}

}  // namespace hadal::pipeline
