#include "ops/random_normal.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "ops/cpu/dispatch.h"
#include "ops/cpu/random_normal.h"
#include "ops/support.h"

using namespace hadal;

namespace {

/// The exact quantile of a word, as the contract says which: by Newton's method on erfc.
double quantile(uint32_t word) {
    const double outside = (double(word & 0x7FFFFFFF) + 0.5) * 0x1.0p-31;
    double z = std::sqrt(-2 * std::log(outside));  // an upper bound, from which the steps converge
    for (int step = 0; step < 60; ++step) {
        const double excess = std::erfc(z / std::numbers::sqrt2) - outside;
        z += excess / (std::sqrt(2 / std::numbers::pi) * std::exp(-z * z / 2));
    }
    return word >> 31 ? -z : z;
}

/// Word `k` of Philox4x32-10, one counter at a time.
uint32_t philox_word(uint64_t seed, uint64_t stream, uint64_t counter, size_t k) {
    uint32_t c[4] = {uint32_t(counter), uint32_t(counter >> 32), uint32_t(stream),
                     uint32_t(stream >> 32)};
    for (uint32_t round = 0; round < 10; ++round) {
        const uint64_t p = 0xD2511F53ull * c[0], q = 0xCD9E8D57ull * c[2];
        const uint32_t next[4] = {
            uint32_t(q >> 32) ^ c[1] ^ (uint32_t(seed) + round * 0x9E3779B9), uint32_t(q),
            uint32_t(p >> 32) ^ c[3] ^ (uint32_t(seed >> 32) + round * 0xBB67AE85), uint32_t(p)};
        std::copy_n(next, 4, c);
    }
    return c[k];
}

std::vector<float> block_of(Isa isa, uint64_t seed, uint64_t stream, uint64_t block) {
    std::vector<float> z(ops::cpu::kNormalBlock);
    ops::cpu::with_isa(
        isa, [&]<Isa picked>() { ops::cpu::normal_block<picked>(seed, stream, block, z.data()); });
    return z;
}

Tensor normal(Isa isa, int threads, int64_t count, DType dtype, ops::RandomStream random,
              double deviation = 1) {
    ThreadPool pool(threads);
    Workspace workspace;
    Context context{pool, workspace, isa};
    Tensor y = Tensor::zeros({count}, dtype);
    ops::random_normal(context, random, deviation, y);
    return y;
}

}  // namespace

TEST_CASE("random_normal: the quantiles of Philox's published words") {
    // Known answers of the authors' library: counter, key → four words.
    struct Answer {
        uint64_t seed, stream, counter;
        uint32_t words[4];
    };
    const Answer answers[] = {
        {0, 0, 0, {0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8}},
        {~0ull, ~0ull, ~0ull, {0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD}},
        {0x299F31D0A4093822,
         0x0370734413198A2E,
         0x85A308D3243F6A88,
         {0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1}},
    };
    for (const Isa isa : available_isas()) {
        for (const Answer& answer : answers) {
            const auto z = block_of(isa, answer.seed, answer.stream, answer.counter / 16);
            for (size_t k = 0; k < 4; ++k) {
                CAPTURE(int(isa));
                CAPTURE(k);
                const double exact = quantile(answer.words[k]);
                CHECK(std::abs(z[16 * k + answer.counter % 16] - exact) <=
                      5e-7 * std::max(1.0, std::abs(exact)));
            }
        }
    }
}

TEST_CASE("random_normal: every number is its word's quantile, within the error promised") {
    constexpr int64_t kBlocks = 300;
    const Tensor y = normal(best_isa(), 2, kBlocks * 64, DType::f32, {5, 6});
    const auto z = y.values<float>();
    double largest = 0;
    for (size_t i = 0; i < z.size(); ++i) {
        const uint64_t counter = i / 64 * 16 + i % 16;
        const double exact = quantile(philox_word(5, 6, counter, i % 64 / 16));
        largest = std::max(largest, std::abs(exact));
        CAPTURE(exact);
        REQUIRE(std::abs(z[i] - exact) <= 5e-7 * std::max(1.0, std::abs(exact)));
    }
    CHECK(largest > 3.4);  // erfinv's polynomial of the tail begins at 2.9
}

TEST_CASE("random_normal: numbers have a normal distribution's moments and tails") {
    constexpr int64_t kCount = 1 << 20;
    const Tensor y = normal(best_isa(), 2, kCount, DType::f32, {7, 9});
    double sums[5] = {}, product = 0, beyond_3 = 0;
    const auto z = y.values<float>();
    for (size_t i = 0; i < z.size(); ++i) {
        for (int power = 1; power <= 4; ++power) sums[power] += std::pow(double(z[i]), power);
        if (i > 0) product += double(z[i]) * z[i - 1];
        beyond_3 += std::abs(z[i]) > 3;
    }
    // Five standard errors each: of z, z², z³, z⁴ and z·z' those are 1, √2, √15, √96 and 1, over
    // √n.
    const double error = 5 / std::sqrt(double(kCount));
    CHECK(std::abs(sums[1] / kCount) < error);
    CHECK(std::abs(sums[2] / kCount - 1) < error * std::sqrt(2.0));
    CHECK(std::abs(sums[3] / kCount) < error * std::sqrt(15.0));
    CHECK(std::abs(sums[4] / kCount - 3) < error * std::sqrt(96.0));
    CHECK(std::abs(product / kCount) < error);
    constexpr double kBeyond3 = 0.0026997960632601866;
    CHECK(std::abs(beyond_3 / kCount - kBeyond3) < error * std::sqrt(kBeyond3));
}

TEST_CASE("random_normal: bits depend on neither threads nor instruction set") {
    for (const int64_t count : {0, 1, 63, 64, 65, 100003}) {
        const Tensor wanted = normal(Isa::portable, 1, count, DType::f32, {1, 2}, 0.006);
        for (const Isa isa : available_isas()) {
            for (const int threads : {1, 2, 4}) {
                CAPTURE(int(isa));
                CAPTURE(threads);
                CHECK(test::same_bits(normal(isa, threads, count, DType::f32, {1, 2}, 0.006),
                                      wanted));
            }
        }
    }
}

TEST_CASE(
    "random_normal: other types get the same numbers, rounded; a longer tensor begins alike") {
    const Tensor f32 = normal(best_isa(), 2, 1000, DType::f32, {3, 4});
    const Tensor f64 = normal(best_isa(), 2, 1000, DType::f64, {3, 4});
    const Tensor narrow = normal(best_isa(), 2, 1000, DType::bf16, {3, 4});
    const Tensor longer = normal(best_isa(), 2, 1500, DType::f32, {3, 4});
    for (size_t i = 0; i < 1000; ++i) {
        CHECK(f64.values<double>()[i] == double(f32.values<float>()[i]));
        CHECK(narrow.values<bf16>()[i].bits == to_bf16(f32.values<float>()[i]).bits);
        CHECK(longer.values<float>()[i] == f32.values<float>()[i]);
    }
}

TEST_CASE("random_normal: seeds and streams share no numbers") {
    const Tensor one = normal(best_isa(), 1, 4096, DType::f32, {0, 0});
    for (const ops::RandomStream other : {ops::RandomStream{1, 0}, {0, 1}, {1ull << 32, 0}}) {
        const Tensor two = normal(best_isa(), 1, 4096, DType::f32, other);
        double product = 0;
        for (size_t i = 0; i < 4096; ++i)
            product += double(one.values<float>()[i]) * two.values<float>()[i];
        CHECK(std::abs(product / 4096) < 5 / 64.0);
    }
}
