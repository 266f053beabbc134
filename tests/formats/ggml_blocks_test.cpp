#include "formats/ggml_blocks.h"

#include <doctest/doctest.h>

#include <cstring>
#include <vector>

#include "formats/bfloat16.h"

using namespace hadal;
using formats::GgmlType;

namespace {

/// A block of zeros with a float16 at `place`.
std::vector<std::byte> block(GgmlType type, float scale, size_t place = 0) {
    std::vector<std::byte> bytes(size_t(formats::block_of(type).bytes));
    const f16 half = to_f16(scale);
    std::memcpy(bytes.data() + place, &half, 2);
    return bytes;
}

std::vector<float> values_of(GgmlType type, std::span<const std::byte> bytes) {
    const auto [values, size] = formats::block_of(type);
    std::vector<float> read(bytes.size() / size_t(size) * size_t(values), -1e9f);
    formats::dequantize_blocks(type, bytes, read);
    return read;
}

}  // namespace

TEST_CASE("ggml_blocks: a file's number is a type or nothing, and has a name either way") {
    CHECK(formats::ggml_type(0) == GgmlType::f32);
    CHECK(formats::ggml_type(14) == GgmlType::q6_k);
    CHECK(formats::ggml_type(30) == GgmlType::bf16);
    for (const uint32_t number : {3u, 4u, 7u, 10u, 11u, 15u, 16u, 29u, 34u, 39u, 40u, ~0u}) {
        CAPTURE(number);
        CHECK(!formats::ggml_type(number));
    }
    CHECK(formats::ggml_type_name(10) == "Q2_K");
    CHECK(formats::ggml_type_name(30) == "BF16");
    CHECK(formats::ggml_type_name(39) == "MXFP4");
    CHECK(formats::ggml_type_name(4).empty());
    CHECK(formats::ggml_type_name(1000).empty());
}

TEST_CASE("ggml_blocks: codes of zero stand for the lowest value of each type") {
    CHECK(values_of(GgmlType::q4_0, block(GgmlType::q4_0, 0.5f)) == std::vector<float>(32, -4));
    CHECK(values_of(GgmlType::q5_0, block(GgmlType::q5_0, 0.5f)) == std::vector<float>(32, -8));
    CHECK(values_of(GgmlType::q8_0, block(GgmlType::q8_0, 0.5f)) == std::vector<float>(32, 0));
    auto q6 = block(GgmlType::q6_k, 0.5f, 208);
    for (size_t i = 192; i < 208; ++i) q6[i] = std::byte(i % 2 == 0 ? 1 : 0xFF);  // 1, −1, …
    const std::vector<float> values = values_of(GgmlType::q6_k, q6);
    for (size_t i = 0; i < 256; ++i) CHECK(values[i] == (i / 16 % 2 == 0 ? -16 : 16));
}

TEST_CASE("ggml_blocks: a nibble changes the one value that it belongs to") {
    for (size_t i = 0; i < 32; ++i) {
        CAPTURE(i);
        auto bytes = block(GgmlType::q4_0, 1);
        bytes[2 + i % 16] = std::byte(i < 16 ? 9 : 9 << 4);
        std::vector<float> expected(32, -8);
        expected[i] = 1;
        CHECK(values_of(GgmlType::q4_0, bytes) == expected);
    }
}

TEST_CASE("ggml_blocks: the fifth bit of Q5_0 belongs to the value of its place") {
    for (size_t i = 0; i < 32; ++i) {
        CAPTURE(i);
        auto bytes = block(GgmlType::q5_0, 1);
        bytes[2 + i / 8] = std::byte(1 << i % 8);
        std::vector<float> expected(32, -16);
        expected[i] = 0;
        CHECK(values_of(GgmlType::q5_0, bytes) == expected);
    }
}

TEST_CASE("ggml_blocks: Q4_K's packed scales and minima reach their sub-blocks") {
    // Codes all one: y = scale − minimum. Sub-block j gets scale 7j + 5 and minimum 60 − 8j.
    auto bytes = block(GgmlType::q4_k, 1);
    const f16 one = to_f16(1);
    std::memcpy(bytes.data() + 2, &one, 2);
    for (int j = 0; j < 8; ++j) {
        const int scale = 7 * j + 5, minimum = 60 - 8 * j;
        const auto add = [&](int at, int bits) { bytes[size_t(4 + at)] |= std::byte(bits); };
        if (j < 4) {
            add(j, scale);
            add(j + 4, minimum);
        } else {
            add(j + 4, (scale & 15) | (minimum & 15) << 4);
            add(j - 4, scale >> 4 << 6);
            add(j, minimum >> 4 << 6);
        }
    }
    for (size_t i = 16; i < 144; ++i) bytes[i] = std::byte(0x11);
    const std::vector<float> values = values_of(GgmlType::q4_k, bytes);
    for (int i = 0; i < 256; ++i) {
        CAPTURE(i);
        CHECK(values[size_t(i)] == float(7 * (i / 32) + 5 - (60 - 8 * (i / 32))));
    }
}
