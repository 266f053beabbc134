#include "pipeline/schedule.h"

#include <doctest/doctest.h>

#include <string>

#include "core/error.h"

namespace hadal::pipeline {

namespace {

std::string refusal(std::string_view name, const Shape& shape) {
    try {
        make_schedule(name, shape);
    } catch (const Error& error) {
        CHECK(error.kind() == Error::Kind::usage);
        return error.what();
    }
    return "";
}

bool contains(const std::string& text, const char* part) {
    return text.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("schedule: an unknown name brings the nearest and the whole list") {
    const std::string text = refusal("dualpip", {.ranks = 4, .micro_batches = 8});
    CHECK(contains(text, "did you mean 'dualpipe'"));
    CHECK(contains(text, "zb-h1"));
}

TEST_CASE("schedule: shapes that a schedule cannot run are refused with what to change") {
    CHECK(contains(refusal("dualpipe", {.ranks = 5, .micro_batches = 20}), "even number of ranks"));
    CHECK(contains(refusal("dualpipe", {.ranks = 4, .micro_batches = 9}), "even number of micro"));
    CHECK(contains(refusal("dualpipe", {.ranks = 8, .micro_batches = 14}), "at least 16"));
    CHECK(contains(refusal("dualpipev", {.ranks = 8, .micro_batches = 15}), "at least 16"));
    CHECK(contains(refusal("interleaved", {.ranks = 4, .micro_batches = 6}), "a multiple"));
    CHECK(contains(refusal("1f1b", {.ranks = 0}), "0 ranks"));
    CHECK(contains(refusal("1f1b", {.ranks = 4, .micro_batches = -1}), "-1 micro-batches"));
    CHECK(contains(refusal("interleaved", {.ranks = 4, .micro_batches = 4, .stages_per_rank = 65}),
                   "65 stages"));
    CHECK(contains(refusal("1f1b", {.ranks = 256, .micro_batches = 100'000}), "fewer"));
}

TEST_CASE("schedule: times that cannot be are refused where the order depends on them") {
    CHECK(contains(
        refusal("zb-v", {.ranks = 2, .micro_batches = 2, .timing = {.stages = {{.forward = -1}}}}),
        "forward is -1"));
}

TEST_CASE("schedule: stages and the ranks that hold them") {
    const Schedule vee = {.ranks = 3, .stages = 6, .placement = Placement::vee};
    CHECK(vee.rank_of({2, 0}) == 2);
    CHECK(vee.rank_of({3, 0}) == 2);
    CHECK(vee.rank_of({5, 0}) == 0);
    CHECK(vee.slot_of({5, 0}) == 1);
    const Schedule loop = {.ranks = 3, .stages = 6};
    CHECK(loop.rank_of({5, 0}) == 2);
    CHECK(loop.slot_of({5, 0}) == 1);
    CHECK(loop.stages_per_rank() == 2);
    CHECK(loop.weight_copies() == 1);
    const Schedule both = {
        .ranks = 4, .stages = 4, .micro_batches = 8, .placement = Placement::both_ways};
    CHECK(both.rank_of({0, 3}) == 0);
    CHECK(both.rank_of({0, 4}) == 3);
    CHECK(both.slot_of({0, 4}) == 1);
    CHECK(both.weight_copies() == 2);
}

}  // namespace hadal::pipeline
