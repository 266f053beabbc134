#include "core/random.h"

#include <doctest/doctest.h>

#include <cmath>
#include <set>
#include <vector>

using namespace hadal;

TEST_CASE(
    "random: bits are those of SplitMix64's finaliser, so that runs can be repeated anywhere") {
    // From the published reference: the first outputs of SplitMix64 with the state 0.
    constexpr uint64_t kGolden = 0x9E3779B97F4A7C15;
    CHECK(mix_bits(kGolden) == 0xE220A8397B1DCDAF);
    CHECK(mix_bits(2 * kGolden) == 0x6E789E6AA1B965F4);
    CHECK(mix_bits(3 * kGolden) == 0x06C45D188009454F);
}

TEST_CASE("random: seed, stream and index each lead somewhere else") {
    std::set<uint64_t> seen;
    for (uint64_t seed = 0; seed < 20; ++seed)
        for (uint64_t stream = 0; stream < 20; ++stream)
            for (uint64_t index = 0; index < 20; ++index)
                seen.insert(random_bits(seed, stream, index));
    CHECK(seen.size() == 8000);
}

TEST_CASE("random: uniform numbers fill [0, 1) evenly") {
    constexpr int kCount = 100'000, kBins = 64;
    std::vector<int> bins(kBins);
    for (uint64_t i = 0; i < kCount; ++i) {
        const double u = random_uniform(3, 4, i);
        REQUIRE(u >= 0);
        REQUIRE(u < 1);
        ++bins[size_t(u * kBins)];
    }
    // χ² of 63 degrees of freedom: mean 63, deviation √126; six deviations.
    double chi = 0;
    const double expected = double(kCount) / kBins;
    for (const int bin : bins) chi += (bin - expected) * (bin - expected) / expected;
    CHECK(std::abs(chi - 63) < 6 * std::sqrt(126.0));
}

TEST_CASE("random: below is even over counts that divide no power of two, and below its count") {
    RandomSequence random(9);
    std::vector<int> seen(7);
    for (int i = 0; i < 70'000; ++i) ++seen[random.below(7)];
    for (const int count : seen) CHECK(std::abs(count - 10'000) < 6 * std::sqrt(10'000.0));
    CHECK(random.below(1) == 0);
    for (int i = 0; i < 1000; ++i) CHECK(random.below(uint64_t(1) << 63) < uint64_t(1) << 63);
}

TEST_CASE("random: a sequence is its function of the position") {
    RandomSequence one(5, 6), two(5, 6), other(5, 7);
    int same = 0;
    for (uint64_t i = 0; i < 100; ++i) {
        const uint64_t bits = one.bits();
        CHECK(bits == random_bits(5, 6, i));
        CHECK(bits == two.bits());
        same += bits == other.bits();
    }
    CHECK(same == 0);
}

TEST_CASE("random: normal numbers have the mean and the variance of a normal distribution") {
    double sum = 0, squares = 0;
    constexpr int kCount = 50'000;
    for (uint64_t i = 0; i < kCount; ++i) {
        const double z = random_normal(1, 2, i);
        REQUIRE(std::isfinite(z));
        sum += z;
        squares += z * z;
    }
    CHECK(std::abs(sum / kCount) < 5 / std::sqrt(double(kCount)));
    CHECK(std::abs(squares / kCount - 1) < 5 * std::sqrt(2.0 / kCount));
}
