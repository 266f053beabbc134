#include "pipeline/lower_bound.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <functional>
#include <limits>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

/// Every order of F, Bi and W of the micro-batches of one stage in which each keeps its own order.
std::vector<std::vector<Action>> all_orders(int stage, int micro_batches) {
    constexpr ActionKind kParts[] = {ActionKind::forward, ActionKind::backward_input,
                                     ActionKind::backward_weight};
    std::vector<std::vector<Action>> orders;
    std::vector<int> done(size_t(micro_batches), 0);
    std::vector<Action> order;
    const std::function<void()> extend = [&] {
        if (order.size() == 3 * done.size()) return orders.push_back(order);
        for (int m = 0; m < micro_batches; ++m) {
            int& parts = done[size_t(m)];
            if (parts == 3) continue;
            order.push_back({.kind = kParts[parts++], .chunk = {stage, m}});
            extend();
            order.pop_back();
            --parts;
        }
    };
    extend();
    return orders;
}

/// The shortest step of all lists that there are, found by trying them.
double best_of_all(const Timing& timing, int micro_batches) {
    Schedule schedule = {.name = "trial", .ranks = 2, .stages = 2, .micro_batches = micro_batches};
    schedule.actions.resize(2);
    double best = std::numeric_limits<double>::infinity();
    const auto second_orders = all_orders(1, micro_batches);
    for (const auto& first : all_orders(0, micro_batches)) {
        for (const auto& second : second_orders) {
            schedule.actions = {first, second};
            try {
                best = std::min(best, simulate(schedule, timing).makespan);
            } catch (const Error&) {
                continue;  // these two wait for each other
            }
        }
    }
    return best;
}

}  // namespace

TEST_CASE("lower bound: not above the best of all orders, and no schedule below it") {
    const Timing timings[] = {
        {},
        {.message = 0.5},
        {.stages = {{.forward = 1, .backward = 1.5, .weight = 0.25, .overlapped = 2.5}}},
        {.stages = {{.forward = 2, .backward = 3, .weight = 2, .overlapped = 5},
                    {.forward = 1, .backward = 2, .weight = 0.5, .overlapped = 3}}},
        {.stages = {{.forward = 1, .backward = 2, .weight = 1, .overlapped = 3},
                    {.forward = 2, .backward = 4, .weight = 3, .overlapped = 6}},
         .message = 0.25}};
    for (const Timing& timing : timings) {
        const double best = best_of_all(timing, 2);
        for (const char* name : {"1f1b", "zb-h1"}) {
            CAPTURE(name);
            const Schedule schedule = make_schedule(name, {.ranks = 2, .micro_batches = 2});
            CHECK(lower_bound(schedule, timing) <= best);
            CHECK(simulate(schedule, timing).makespan >= best);
        }
    }
    // For equal parts ZB-H1 is one of the best orders of two ranks.
    const Schedule zb_h1 = make_schedule("zb-h1", {.ranks = 2, .micro_batches = 2});
    CHECK(simulate(zb_h1, Timing()).makespan == best_of_all(Timing(), 2));
}

TEST_CASE("lower bound: reached where a rank never waits, and by one micro-batch alone") {
    const Schedule one_rank = make_schedule("1f1b", {.ranks = 1, .micro_batches = 7});
    CHECK(lower_bound(one_rank, Timing()) == simulate(one_rank, Timing()).makespan);
    const Schedule zb_v = make_schedule("zb-v", {.ranks = 4, .micro_batches = 8});
    CHECK(lower_bound(zb_v, Timing()) == simulate(zb_v, Timing()).makespan);
    // Down 4 F, up 4 Bi, one W, 6 messages.
    const Schedule alone = make_schedule("zb-h1", {.ranks = 4, .micro_batches = 1});
    const Timing timing = {.message = 0.5};
    CHECK(lower_bound(alone, timing) == 12);
    CHECK(simulate(alone, timing).makespan == 12);
}

}  // namespace hadal::pipeline
