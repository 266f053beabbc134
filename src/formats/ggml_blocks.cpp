#include "formats/ggml_blocks.h"

#include <bit>
#include <cstring>
#include <iterator>

#include "core/error.h"
#include "formats/bfloat16.h"

namespace hadal::formats {

namespace {

static_assert(std::endian::native == std::endian::little, "GGUF files are read in place");

template <class T>
T load(const uint8_t* bytes) {
    T value;
    std::memcpy(&value, bytes, sizeof(T));  // blocks are aligned to nothing
    return value;
}

float half(const uint8_t* bytes) {
    return to_float(load<f16>(bytes));
}

void read_f32(const uint8_t* block, float* y) {
    *y = load<float>(block);
}
void read_f16(const uint8_t* block, float* y) {
    *y = half(block);
}
void read_bf16(const uint8_t* block, float* y) {
    *y = to_float(load<bf16>(block));
}

/// f16 d | 16 bytes: byte i holds values i (low nibble) and i + 16.      y = d·(q − 8)
void read_q4_0(const uint8_t* block, float* y) {
    const float d = half(block);
    const uint8_t* q = block + 2;
    for (int i = 0; i < 16; ++i) {
        y[i] = d * float((q[i] & 15) - 8);
        y[i + 16] = d * float((q[i] >> 4) - 8);
    }
}

/// f16 d | u32, bit i the fifth bit of value i | 16 bytes as Q4_0.       y = d·(q − 16)
void read_q5_0(const uint8_t* block, float* y) {
    const float d = half(block);
    const auto fifth = load<uint32_t>(block + 2);
    const uint8_t* q = block + 6;
    for (int i = 0; i < 16; ++i) {
        const int low = (q[i] & 15) | int((fifth >> i) & 1u) << 4;
        const int high = (q[i] >> 4) | int((fifth >> (i + 16)) & 1u) << 4;
        y[i] = d * float(low - 16);
        y[i + 16] = d * float(high - 16);
    }
}

/// f16 d | 32 signed bytes.                                              y = d·q
void read_q8_0(const uint8_t* block, float* y) {
    const float d = half(block);
    for (int i = 0; i < 32; ++i) y[i] = d * float(int8_t(block[2 + i]));
}

/// Scale and minimum of sub-block j in 0 … 7, six bits each, in twelve bytes: bytes 0–3 and 4–7
/// have the low six bits of the scales and minima of 0 … 3 and, above them, the upper two bits of
/// those of 4 … 7; bytes 8–11 have the lower four bits of the latter, scales below, minima above.
struct ScaleAndMinimum {
    int scale;
    int minimum;
};
ScaleAndMinimum scale_and_minimum(const uint8_t* packed, int j) {
    if (j < 4) return {packed[j] & 63, packed[j + 4] & 63};
    return {(packed[j + 4] & 15) | (packed[j - 4] >> 6) << 4,
            (packed[j + 4] >> 4) | (packed[j] >> 6) << 4};
}

/// f16 d | f16 m | 12 bytes of scales s and minima n | 128 bytes: each run of 32 holds two
/// sub-blocks of 32 values, in the low and in the high nibbles.          y = (d·s)·q − m·n
void read_q4_k(const uint8_t* block, float* y) {
    const float d = half(block), m = half(block + 2);
    for (int j = 0; j < 8; ++j) {
        const auto [scale, minimum] = scale_and_minimum(block + 4, j);
        const float step = d * float(scale), offset = m * float(minimum);
        const uint8_t* q = block + 16 + j / 2 * 32;
        for (int i = 0; i < 32; ++i) {
            const int code = j % 2 == 0 ? q[i] & 15 : q[i] >> 4;
            y[j * 32 + i] = step * float(code) - offset;
        }
    }
}

/// As Q4_K, but 32 bytes before the nibbles: bit j of byte i is the fifth bit of value i of
/// sub-block j.
void read_q5_k(const uint8_t* block, float* y) {
    const float d = half(block), m = half(block + 2);
    const uint8_t* fifth = block + 16;
    for (int j = 0; j < 8; ++j) {
        const auto [scale, minimum] = scale_and_minimum(block + 4, j);
        const float step = d * float(scale), offset = m * float(minimum);
        const uint8_t* q = block + 48 + j / 2 * 32;
        for (int i = 0; i < 32; ++i) {
            const int nibble = j % 2 == 0 ? q[i] & 15 : q[i] >> 4;
            y[j * 32 + i] = step * float(nibble | ((fifth[i] >> j) & 1) << 4) - offset;
        }
    }
}

/// 128 bytes of low nibbles | 64 bytes of upper bit pairs | 16 signed scales s, one for 16 values |
/// f16 d. Each half of the block is four runs r of 32 values: nibbles of runs 0 and 1 in the low
/// halves of 64 bytes, of 2 and 3 in the high halves; bits 2r, 2r + 1 of 32 bytes are the upper
/// pair.                                                                 y = (d·s)·(q − 32)
void read_q6_k(const uint8_t* block, float* y) {
    const float d = half(block + 208);
    for (int run = 0; run < 8; ++run) {
        const int part = run / 4, r = run % 4;
        const uint8_t* low = block + part * 64 + r % 2 * 32;
        const uint8_t* upper = block + 128 + part * 32;
        for (int i = 0; i < 32; ++i) {
            const int nibble = r < 2 ? low[i] & 15 : low[i] >> 4;
            const int code = nibble | ((upper[i] >> (2 * r)) & 3) << 4;
            const float step = d * float(int8_t(block[192 + run * 2 + i / 16]));
            y[run * 32 + i] = step * float(code - 32);
        }
    }
}

struct Format {
    GgmlType type;
    GgmlBlock block;
    void (*read)(const uint8_t* block, float* values);
};

constexpr Format kFormats[] = {
    {GgmlType::f32, {1, 4}, read_f32},       {GgmlType::f16, {1, 2}, read_f16},
    {GgmlType::q4_0, {32, 18}, read_q4_0},   {GgmlType::q5_0, {32, 22}, read_q5_0},
    {GgmlType::q8_0, {32, 34}, read_q8_0},   {GgmlType::q4_k, {256, 144}, read_q4_k},
    {GgmlType::q5_k, {256, 176}, read_q5_k}, {GgmlType::q6_k, {256, 210}, read_q6_k},
    {GgmlType::bf16, {1, 2}, read_bf16},
};

const Format& format_of(GgmlType type) {
    for (const Format& format : kFormats) {
        if (format.type == type) return format;
    }
    throw Error(Error::Kind::internal, "a GGML type without a reader");
}

/// All types that files have carried; "" where the number was never given or was withdrawn.
constexpr std::string_view kNames[] = {
    "F32",    "F16",   "Q4_0",  "Q4_1",   "",      "",      "Q5_0",    "Q5_1",   "Q8_0",    "Q8_1",
    "Q2_K",   "Q3_K",  "Q4_K",  "Q5_K",   "Q6_K",  "Q8_K",  "IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S",
    "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS", "I8",    "I16",   "I32",     "I64",    "F64",     "IQ1_M",
    "BF16",   "",      "",      "",       "TQ1_0", "TQ2_0", "",        "",       "",        "MXFP4",
};

}  // namespace

std::optional<GgmlType> ggml_type(uint32_t number) {
    for (const Format& format : kFormats) {
        if (uint32_t(format.type) == number) return format.type;
    }
    return std::nullopt;
}

std::string_view ggml_type_name(uint32_t number) {
    return number < std::size(kNames) ? kNames[number] : std::string_view();
}

GgmlBlock block_of(GgmlType type) {
    return format_of(type).block;
}

void dequantize_blocks(GgmlType type, std::span<const std::byte> bytes, std::span<float> values) {
    const Format& format = format_of(type);
    const auto blocks = int64_t(values.size()) / format.block.values;
    HADAL_ASSERT(blocks * format.block.values == int64_t(values.size()) &&
                 blocks * format.block.bytes == int64_t(bytes.size()));
    const auto* from = reinterpret_cast<const uint8_t*>(bytes.data());
    float* to = values.data();
    for (int64_t i = 0; i < blocks; ++i) {
        format.read(from, to);
        from += format.block.bytes;
        to += format.block.values;
    }
}

}  // namespace hadal::formats
