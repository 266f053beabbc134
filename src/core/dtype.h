// Element types of tensors. Conversions of the narrow formats are in src/formats.
#pragma once

#include <cstdint>
#include <string_view>

namespace hadal {

/// Storage of a bfloat16: the upper half of a float32.
struct bf16 {
    uint16_t bits;
    friend bool operator==(bf16, bf16) = default;
};

/// Storage of an IEEE binary16.
struct f16 {
    uint16_t bits;
    friend bool operator==(f16, f16) = default;
};

/// Storage of a float8 E4M3 ("fn": no infinities, 0x7F and 0xFF are NaN, largest finite 448).
struct f8_e4m3 {
    uint8_t bits;
    friend bool operator==(f8_e4m3, f8_e4m3) = default;
};

/// Storage of a float8 E5M2: the upper byte of an IEEE binary16.
struct f8_e5m2 {
    uint8_t bits;
    friend bool operator==(f8_e5m2, f8_e5m2) = default;
};

enum class DType : uint8_t { f64, f32, bf16, f16, f8_e4m3, f8_e5m2, i64, i32, i16, i8, u8 };

/// Bytes of one element.
constexpr int64_t size_of(DType dtype) {
    switch (dtype) {
        case DType::f64:
        case DType::i64:
            return 8;
        case DType::f32:
        case DType::i32:
            return 4;
        case DType::bf16:
        case DType::f16:
        case DType::i16:
            return 2;
        case DType::f8_e4m3:
        case DType::f8_e5m2:
        case DType::i8:
        case DType::u8:
            return 1;
    }
    return 0;
}

/// "bf16", "f32", …: as the command line and messages spell it.
std::string_view name(DType dtype);

/// The DType of a C++ element type: dtype_of<float> == DType::f32.
template <class T>
inline constexpr DType dtype_of =
    [] { static_assert(sizeof(T) == 0, "no tensor holds this type"); }();
template <>
inline constexpr DType dtype_of<double> = DType::f64;
template <>
inline constexpr DType dtype_of<float> = DType::f32;
template <>
inline constexpr DType dtype_of<bf16> = DType::bf16;
template <>
inline constexpr DType dtype_of<f16> = DType::f16;
template <>
inline constexpr DType dtype_of<f8_e4m3> = DType::f8_e4m3;
template <>
inline constexpr DType dtype_of<f8_e5m2> = DType::f8_e5m2;
template <>
inline constexpr DType dtype_of<int64_t> = DType::i64;
template <>
inline constexpr DType dtype_of<int32_t> = DType::i32;
template <>
inline constexpr DType dtype_of<int16_t> = DType::i16;
template <>
inline constexpr DType dtype_of<int8_t> = DType::i8;
template <>
inline constexpr DType dtype_of<uint8_t> = DType::u8;

}  // namespace hadal
