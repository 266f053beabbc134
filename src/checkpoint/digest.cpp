#include "checkpoint/digest.h"

#include <array>
#include <bit>

namespace hadal::checkpoint {

namespace {

// The five primes of the specification.
constexpr uint64_t kPrime1 = 0x9E3779B185EBCA87;
constexpr uint64_t kPrime2 = 0xC2B2AE3D27D4EB4F;
constexpr uint64_t kPrime3 = 0x165667B19E3779F9;
constexpr uint64_t kPrime4 = 0x85EBCA77C2B2AE63;
constexpr uint64_t kPrime5 = 0x27D4EB2F165667C5;

/// Little endian, wherever it lies.
template <class Word>
uint64_t word_at(const std::byte* bytes) {
    uint64_t word = 0;
    for (size_t i = 0; i < sizeof(Word); ++i) word |= uint64_t(bytes[i]) << (8 * i);
    return word;
}

uint64_t mixed(uint64_t lane, uint64_t word) {
    return std::rotl(lane + word * kPrime2, 31) * kPrime1;
}

/// The stripes of 32 bytes, in four lanes that do not wait for each other.
uint64_t fold_stripes(std::span<const std::byte>& bytes) {
    std::array<uint64_t, 4> lanes = {kPrime1 + kPrime2, kPrime2, 0, 0 - kPrime1};
    while (bytes.size() >= 32) {
        for (size_t i = 0; i < 4; ++i) {
            lanes[i] = mixed(lanes[i], word_at<uint64_t>(bytes.data() + 8 * i));
        }
        bytes = bytes.subspan(32);
    }
    uint64_t hash = std::rotl(lanes[0], 1) + std::rotl(lanes[1], 7) + std::rotl(lanes[2], 12) +
                    std::rotl(lanes[3], 18);
    for (const uint64_t lane : lanes) hash = (hash ^ mixed(0, lane)) * kPrime1 + kPrime4;
    return hash;
}

}  // namespace

uint64_t digest(std::span<const std::byte> bytes) {
    const uint64_t length = bytes.size();
    uint64_t hash = (length >= 32 ? fold_stripes(bytes) : kPrime5) + length;
    for (; bytes.size() >= 8; bytes = bytes.subspan(8)) {
        hash ^= mixed(0, word_at<uint64_t>(bytes.data()));
        hash = std::rotl(hash, 27) * kPrime1 + kPrime4;
    }
    if (bytes.size() >= 4) {
        hash ^= word_at<uint32_t>(bytes.data()) * kPrime1;
        hash = std::rotl(hash, 23) * kPrime2 + kPrime3;
        bytes = bytes.subspan(4);
    }
    for (const std::byte byte : bytes) {
        hash = std::rotl(hash ^ uint64_t(byte) * kPrime5, 11) * kPrime1;
    }
    hash = (hash ^ (hash >> 33)) * kPrime2;
    hash = (hash ^ (hash >> 29)) * kPrime3;
    return hash ^ (hash >> 32);
}

}  // namespace hadal::checkpoint
