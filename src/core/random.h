// Random numbers that are a pure function of (seed, stream, index): the same on every machine, for
// any thread count and any order of asking. Nothing to save in a snapshot.
#pragma once

#include <cmath>
#include <cstdint>
#include <numbers>

namespace hadal {

/// A bijective mix of 64 bits (Stafford's variant 13, the finaliser of SplitMix64).
constexpr uint64_t mix_bits(uint64_t x) {
    x ^= x >> 30;
    x *= 0xBF58476D1CE4E5B9ull;
    x ^= x >> 27;
    x *= 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

/// 64 random bits.
constexpr uint64_t random_bits(uint64_t seed, uint64_t stream, uint64_t index) {
    constexpr uint64_t kGolden = 0x9E3779B97F4A7C15ull;
    return mix_bits(mix_bits(mix_bits(seed + kGolden) + stream + kGolden) + index * kGolden);
}

/// Uniform in [0, 1), 53 bits.
constexpr double random_uniform(uint64_t seed, uint64_t stream, uint64_t index) {
    return double(random_bits(seed, stream, index) >> 11) * 0x1.0p-53;
}

/// Standard normal (Box and Muller 1958).
inline double random_normal(uint64_t seed, uint64_t stream, uint64_t index) {
    const double u =
        1 - random_uniform(seed, stream, 2 * index);  // (0, 1]: its logarithm is finite
    const double v = random_uniform(seed, stream, 2 * index + 1);
    return std::sqrt(-2 * std::log(u)) * std::cos(2 * std::numbers::pi * v);
}

/// A sequence with a position of its own, for code that draws one number after another.
class RandomSequence {
  public:
    explicit RandomSequence(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

    uint64_t bits() {
        return random_bits(seed_, stream_, index_++);
    }
    double uniform() {
        return double(bits() >> 11) * 0x1.0p-53;
    }
    /// Uniform in [0, count), without bias that matters (2⁻⁶⁴ · count).
    uint64_t below(uint64_t count) {
        return uint64_t((static_cast<unsigned __int128>(bits()) * count) >> 64);
    }
    double normal() {
        return random_normal(bits(), 0, 0);
    }

  private:
    uint64_t seed_;
    uint64_t stream_;
    uint64_t index_ = 0;
};

}  // namespace hadal
