#include "data/loader.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "data/permutation.h"
#include "data/support.h"

using namespace hadal;
using namespace hadal::data;
using hadal::data::test::contains;
using hadal::data::test::error_of;
using hadal::data::test::Folder;
using hadal::data::test::write_count;

namespace {

std::vector<int32_t> values(const Tensor& ids) {
    const auto all = ids.values<int32_t>();
    return {all.begin(), all.end()};
}

}  // namespace

TEST_CASE("permutation: one to one for every count, and another order for another key") {
    for (const int64_t count : {1, 2, 3, 4, 5, 16, 17, 63, 64, 65, 1000, 4097}) {
        CAPTURE(count);
        for (const uint64_t key : {0, 1, 77}) {
            std::set<int64_t> seen;
            for (int64_t i = 0; i < count; ++i) {
                const int64_t to = permuted(i, count, key);
                REQUIRE(to >= 0);
                REQUIRE(to < count);
                seen.insert(to);
            }
            CHECK(int64_t(seen.size()) == count);
        }
    }
    int64_t fixed = 0;
    int64_t same = 0;
    for (int64_t i = 0; i < 4096; ++i) {
        fixed += permuted(i, 4096, 1) == i;
        same += permuted(i, 4096, 1) == permuted(i, 4096, 2);
    }
    // Each is Poisson with mean 1 for random permutations: 12 and more has a chance below 10⁻⁹.
    CHECK(fixed < 12);
    CHECK(same < 12);
}

TEST_CASE("mixture: any run of samples holds each source within two of its share, in order") {
    const MixtureSchedule schedule({0.5, 0.3, 0.2});
    std::vector<int64_t> count(3);
    const double shares[] = {0.5, 0.3, 0.2};
    for (int64_t sample = 0; sample < 3 * MixtureSchedule::kCycle; ++sample) {
        const auto [source, ordinal] = schedule.turn(sample);
        REQUIRE(ordinal == count[size_t(source)]++);
        for (size_t i = 0; i < 3; ++i) {
            REQUIRE(std::abs(double(count[i]) - shares[i] * double(sample + 1)) < 2);
        }
    }
}

TEST_CASE("mixture: a tiny weight still has its turn, and all turns add up") {
    const MixtureSchedule schedule({1e-12, 1, 1e-9, 3});
    CHECK(schedule.share(0) == 1);
    CHECK(schedule.share(2) == 1);
    CHECK(schedule.share(0) + schedule.share(1) + schedule.share(2) + schedule.share(3) ==
          MixtureSchedule::kCycle);
    CHECK(schedule.turn(MixtureSchedule::kCycle).ordinal ==
          schedule.share(schedule.turn(0).source));
}

TEST_CASE("mixture: weights that are no weights are refused") {
    const double nan = std::nan("");
    const double infinity = std::numeric_limits<double>::infinity();
    for (const double bad : {0.0, -1.0, nan, infinity}) {
        CAPTURE(bad);
        CHECK(contains(error_of([&] { MixtureSchedule({1, bad}); }), "weight of source 1"));
    }
    CHECK(contains(error_of([] { MixtureSchedule({}); }), "0 sources"));
}

TEST_CASE("loader: each window of a source comes once an epoch, in another order each time") {
    const Folder folder;
    const Loader loader({{write_count(folder / "a", 0, 101)}}, /*seq_len=*/10, /*seed=*/3);
    REQUIRE(loader.windows() == 10);
    std::vector<std::vector<int32_t>> orders;
    for (int64_t epoch = 0; epoch < 3; ++epoch) {
        std::vector<int32_t> firsts;
        const Tensor ids = loader.samples(epoch * 10, 10);  // [10, 11]
        for (int64_t i = 0; i < 10; ++i) {
            const auto window = ids.row<int32_t>(i);
            for (size_t k = 0; k < 11; ++k) REQUIRE(window[k] == window[0] + int32_t(k));
            firsts.push_back(window[0]);
        }
        orders.push_back(firsts);
        std::sort(firsts.begin(), firsts.end());
        CHECK(firsts == std::vector<int32_t>{0, 10, 20, 30, 40, 50, 60, 70, 80, 90});
    }
    CHECK(orders[0] != orders[1]);
    CHECK(orders[1] != orders[2]);
}

TEST_CASE(
    "loader: sources come by weight, and each is still seen whole in every epoch of its own") {
    const Folder folder;
    const Loader loader(
        {{write_count(folder / "a", 0, 31), 3.0}, {write_count(folder / "b", 1000, 71), 1.0}},
        /*seq_len=*/10, /*seed=*/9);
    std::map<int64_t, std::map<int64_t, std::set<int64_t>>> seen;  // source, epoch, windows
    std::vector<int64_t> count(2);
    for (int64_t sample = 0; sample < 2800; ++sample) {
        const auto [source, epoch, window] = loader.place(sample);
        CHECK(seen[source][epoch].insert(window).second);
        ++count[size_t(source)];
        CHECK(loader.samples(sample, 1).row<int32_t>(0)[0] == 1000 * source + 10 * window);
    }
    CHECK(count[0] == 2100);
    CHECK(count[1] == 700);
    for (int64_t epoch = 0; epoch < 700; ++epoch) REQUIRE(seen[0][epoch].size() == 3);
    for (int64_t epoch = 0; epoch < 100; ++epoch) REQUIRE(seen[1][epoch].size() == 7);
}

TEST_CASE("loader: a sample depends on nothing but seed and index") {
    const Folder folder;
    const std::vector<MixtureSource> sources = {{write_count(folder / "a", 0, 500), 1.0},
                                                {write_count(folder / "b", 1000, 300), 2.0}};
    const Loader loader(sources, 7, /*seed=*/5);
    const std::vector<int32_t> whole = values(loader.samples(0, 90));
    // Resumed at 37 by an object of its own, in batches of other sizes.
    const Loader resumed(sources, 7, /*seed=*/5);
    int64_t at = resumed.resume(loader.position(37));
    std::vector<int32_t> rest;
    for (const int64_t count : {1, 2, 50}) {
        const auto part = values(resumed.samples(at, count));
        rest.insert(rest.end(), part.begin(), part.end());
        at += count;
    }
    CHECK(std::equal(rest.begin(), rest.end(), whole.begin() + 37 * 8));
    CHECK(at == 90);
    CHECK(values(Loader(sources, 7, /*seed=*/6).samples(0, 90)) != whole);
}

TEST_CASE("loader: a position is refused under other data, weights, window or seed") {
    const Folder folder;
    const auto a = write_count(folder / "a", 0, 500);
    const auto b = write_count(folder / "b", 1, 500);
    const Loader loader({{a, 1}}, 7, 5);
    const LoaderPosition position = loader.position(12);
    CHECK(Loader({{a, 8}}, 7, 5).resume(position) == 12);  // weights are relative
    CHECK(contains(error_of([&] { Loader({{b, 1}}, 7, 5).resume(position); }), "other data"));
    CHECK(contains(error_of([&] { Loader({{a, 1}}, 8, 5).resume(position); }), "other data"));
    CHECK(contains(error_of([&] { Loader({{a, 1}}, 7, 6).resume(position); }), "other data"));
    CHECK(
        contains(error_of([&] { Loader({{a, 1}, {b, 1}}, 7, 5).resume(position); }), "other data"));
}

TEST_CASE("loader: bad input is refused by name") {
    const Folder folder;
    const auto shorter = write_count(folder / "short", 0, 10);
    CHECK(contains(error_of([&] { Loader({{shorter}}, 10, 0); }), "shorter than one window of 11"));
    CHECK(Loader({{shorter}}, 9, 0).windows() == 1);
    const auto empty = test::write_set(folder / "empty", {});
    CHECK(contains(error_of([&] { Loader({{empty}}, 10, 0); }), "data set of 0 tokens"));
    CHECK(contains(error_of([&] { Loader({{shorter}}, 0, 0); }), "sequence length 0"));
    CHECK(contains(error_of([&] { Loader({}, 4, 0); }), "0 sources"));
    CHECK(contains(error_of([&] { Loader({{folder / "none"}}, 4, 0); }), "none.idx"));
    const auto large = test::write_set(folder / "large", {{1, 2, 3}, {4, 5, 600, 7}});
    const Loader loader({{large}}, 6, 0, /*vocab_size=*/600);
    const std::string message = error_of([&] { loader.samples(0, 1); });
    CHECK(contains(message, "token id 600 is outside the vocabulary of 600"));
    CHECK(contains(message, "document 1 of"));
}

TEST_CASE("loader: validation has one order, every window once, each beginning in proportion") {
    const Folder folder;
    const ValidationLoader loader(
        {write_count(folder / "a", 0, 601), write_count(folder / "b", 10000, 201)}, 10);
    REQUIRE(loader.windows() == 80);
    std::set<int32_t> firsts;
    std::vector<int64_t> count(2);
    const Tensor ids = loader.samples(0, 80);  // [80, 11]
    for (int64_t i = 0; i < 80; ++i) {
        firsts.insert(ids.row<int32_t>(i)[0]);
        CHECK(loader.source_of(i) == (ids.row<int32_t>(i)[0] >= 10000 ? 1 : 0));
        ++count[size_t(loader.source_of(i))];
        CHECK(std::abs(double(count[0]) - 0.75 * double(i + 1)) <= 1.5);
    }
    CHECK(firsts.size() == 80);
}
